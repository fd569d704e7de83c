"""Broadcast: call all subscribers at once; done as soon as a quorum of them has taken note, else taken back everywhere.

A whole protocol in one file. In the configuration:

    plugins:
      modules: [./broadcast.py]
    protocols:
      broadcast: {quorum: 60}

A client submits `{"gid": ..., "trans_type": "broadcast", "subscribers": [url, ...], "payload": text}`. Each url is
called with op=announce. Once the quorum (in percent) has answered SUCCESS the broadcast has succeeded, and those that
have not answered yet are let go. When too many refuse, or time runs out, or the client aborts, all that may have
heard of it are called again, with op=retract, until they succeed.
"""

from __future__ import annotations

import dtm

MAJORITY = 51

REQUEST = {
    "type": "object",
    "properties": {
        "subscribers": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 2048},
            "minItems": 1,
            "maxItems": 1000,
        },
        "payload": {"type": "string"},
    },
    "required": ["subscribers"],
    "examples": [{"subscribers": [f"http://{name}.example/news" for name in "abc"], "payload": "{}"}],
}
SETTINGS = {
    "type": "object",
    "properties": {"quorum": {"type": "integer", "minimum": 1, "maximum": 100, "default": MAJORITY}},
    "examples": [{}, {"quorum": 100}],
}


def expand(request: dtm.Request) -> list[dtm.Branch]:
    """Two branches for each subscriber."""
    payload = request.body.get("payload", "").encode()
    return [
        dtm.Branch(f"{number:04d}", op, url, payload)
        for number, url in enumerate(request.body["subscribers"], start=1)
        for op in ("retract", "announce")
    ]


def plan(snapshot: dtm.Snapshot) -> dtm.Decision:
    """Announce until the quorum is reached, or out of reach; in that case retract."""
    if snapshot.status is dtm.Status.ABORTING:
        return _retract(snapshot)
    subscribers = snapshot.op("announce")
    waiting = dtm.ordering.at_once(subscribers)
    reached = sum(branch.succeeded for branch in subscribers)
    needed = -(-len(subscribers) * snapshot.settings.get("quorum", MAJORITY) // 100)
    if reached >= needed:
        return dtm.Move(dtm.Status.SUCCEED, result=f"{reached} of {len(subscribers)}")
    if reached + len(waiting) < needed:
        return dtm.Move(dtm.Status.ABORTING, f"at most {reached + len(waiting)} of {needed} take note")
    if snapshot.timed_out:
        return dtm.Move(dtm.Status.ABORTING, dtm.ordering.timeout_reason(snapshot))
    return dtm.Call(waiting, until=snapshot.deadline)


def _retract(snapshot: dtm.Snapshot) -> dtm.Decision:
    retractions = dtm.ordering.undoing(snapshot, "retract", "announce")
    if dtm.ordering.all_succeeded(retractions):
        return dtm.Move(dtm.Status.FAILED)
    return dtm.Call(dtm.ordering.at_once(retractions))


@dtm.hookimpl
def dtm_register_protocols() -> list[dtm.Protocol]:
    """Offer the broadcast."""
    return [
        dtm.Protocol(
            name="broadcast",
            summary="all subscribers at once: a quorum takes note, or it is taken back",
            ops={"announce": dtm.Op(may_fail=True), "retract": dtm.Op(undoes="announce")},
            verbs={**dtm.SUBMIT_ONLY, (dtm.Verb.ABORT, dtm.Status.SUBMITTED): dtm.Status.ABORTING},
            request_schema=REQUEST,
            settings_schema=SETTINGS,
            expand=expand,
            plan=plan,
        )
    ]
