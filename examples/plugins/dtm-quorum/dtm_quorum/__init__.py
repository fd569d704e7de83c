"""Quorum: reserve with several suppliers at once, keep the first `need` that agree, release the rest.

The client submits `{"suppliers": [{"reserve": url, "release": url}, ...], "need": n, "payload": text}`.

`prepared`: nothing is chosen yet. All suppliers are asked at once; each may refuse. When `need` of them have agreed
they are chosen, and that choice is stored, in `result`, before anybody is released: were it made again after a crash,
it might fall on one who has been released meanwhile. `submitted`: it is chosen; whoever else may have reserved is
released, and then it has succeeded. `aborting`: so many have refused that it cannot be reached, time ran out, or the
client aborts; whoever may have reserved is released, and then it has failed.
"""

from __future__ import annotations

import json
from pathlib import Path

import dtm

REQUEST = json.loads(Path(__file__).with_name("request.json").read_text(encoding="utf-8"))


def expand(request: dtm.Request) -> list[dtm.Branch]:
    """Two branches for each supplier."""
    suppliers, payload = request.body["suppliers"], request.body.get("payload", "").encode()
    if request.body["need"] > len(suppliers):
        raise dtm.InvalidRequest("/need", f"expected at most {len(suppliers)}, for so many suppliers are named")
    return [
        dtm.Branch(f"{number:02d}", op, supplier.get(op, ""), payload)
        for number, supplier in enumerate(suppliers, start=1)
        for op in ("release", "reserve")
    ]


def plan(snapshot: dtm.Snapshot) -> dtm.Decision:
    """Choose, then release whoever was not chosen."""
    if snapshot.status is dtm.Status.PREPARED:
        return _choose(snapshot)
    chosen = snapshot.result.split() if snapshot.status is dtm.Status.SUBMITTED else []
    rest = [b for b in dtm.ordering.undoing(snapshot, "release", "reserve") if b.branch_id not in chosen]
    if dtm.ordering.all_succeeded(rest):
        return dtm.Move(dtm.Status.SUCCEED if chosen else dtm.Status.FAILED)
    return dtm.Call(dtm.ordering.at_once(rest))


def _choose(snapshot: dtm.Snapshot) -> dtm.Decision:
    suppliers, need = snapshot.op("reserve"), snapshot.request["need"]
    # sorted() leaves those who agreed in the same millisecond in the order in which they were named.
    agreed = sorted((b for b in suppliers if b.succeeded), key=lambda branch: branch.ended_at or 0)
    if len(agreed) >= need:
        return dtm.Move(dtm.Status.SUBMITTED, result=" ".join(sorted(b.branch_id for b in agreed[:need])))
    asked = dtm.ordering.at_once(suppliers)
    if len(agreed) + len(asked) < need:
        return dtm.Move(dtm.Status.ABORTING, f"at most {len(agreed) + len(asked)} of {need} suppliers agree")
    if snapshot.timed_out:
        return dtm.Move(dtm.Status.ABORTING, dtm.ordering.timeout_reason(snapshot))
    return dtm.Call(asked, until=snapshot.deadline)


PROTOCOL = dtm.Protocol(
    name="quorum",
    summary="reserve with several suppliers at once, keep the first that agree, release the rest",
    ops={"reserve": dtm.Op(may_fail=True), "release": dtm.Op(undoes="reserve")},
    verbs={
        (dtm.Verb.SUBMIT, None): dtm.Status.PREPARED,
        (dtm.Verb.SUBMIT, dtm.Status.SUBMITTED): dtm.Status.SUBMITTED,  # the same again, while others are released
        (dtm.Verb.ABORT, dtm.Status.PREPARED): dtm.Status.ABORTING,
    },
    request_schema=REQUEST,
    expand=expand,
    plan=plan,
)


@dtm.hookimpl
def dtm_register_protocols() -> list[dtm.Protocol]:
    """Offer the quorum."""
    return [PROTOCOL]
