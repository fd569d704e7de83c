"""Escalation: tell one contact after the other until somebody acknowledges, then withdraw it from the others.

The client raises it with prepare and registers the contacts, `tell` and `withdraw` urls each, in the order in which
they are to be told; more may follow at any time. Whoever takes it acknowledges with submit, and says in custom_data
who it is: `{"by": "02"}`. Abort calls it off.

`prepared`: nobody has acknowledged. The first contact is told at once, each next one when those before it have had
their patience, without waiting for those who cannot be reached. `submitted`: acknowledged; it is withdrawn from all
others who may have been told. `aborting`: called off, or the time-out has struck; it is withdrawn from all who may
have been told.
"""

from __future__ import annotations

import json
from pathlib import Path

import dtm

PATIENCE = 10
REQUEST, CONTACT = (
    json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8")) for name in ("request.json", "contact.json")
)
SETTINGS = {
    "type": "object",
    "properties": {"patience": {"type": "integer", "minimum": 1, "maximum": 604800, "default": PATIENCE}},
    "examples": [{"patience": 2}],
}


def expand(request: dtm.Request) -> list[dtm.Branch]:
    """No branches yet; custom_data has to make sense."""
    if not isinstance(request.custom.get("by", ""), str):
        raise dtm.InvalidRequest("/custom_data", 'expected the branch_id of who acknowledges: {"by": "01"}')
    return []


def register(request: dtm.Request) -> list[dtm.Branch]:
    """One contact."""
    body = request.body
    payload = body.get("data", "").encode()
    return [dtm.Branch(body["branch_id"], op, body.get(op, ""), payload) for op in ("withdraw", "tell")]


def plan(snapshot: dtm.Snapshot) -> dtm.Decision:
    """Tell until somebody acknowledges, then withdraw."""
    if snapshot.status is dtm.Status.PREPARED:
        return _escalate(snapshot)
    acknowledged = snapshot.status is dtm.Status.SUBMITTED
    by = snapshot.custom.get("by") if acknowledged else None
    others = [b for b in dtm.ordering.undoing(snapshot, "withdraw", "tell") if b.branch_id != by]
    if dtm.ordering.all_succeeded(others):
        return dtm.Move(dtm.Status.SUCCEED if acknowledged else dtm.Status.FAILED)
    return dtm.Call(dtm.ordering.at_once(others))


def _escalate(snapshot: dtm.Snapshot) -> dtm.Decision:
    if snapshot.timed_out:
        return dtm.Move(dtm.Status.ABORTING, f"nobody has acknowledged: {dtm.ordering.timeout_reason(snapshot)}")
    patience = 1000 * snapshot.request.get("patience", snapshot.settings.get("patience", PATIENCE))
    due, begins = [], snapshot.created  # when the contact that comes next is to be told
    moments = [] if snapshot.deadline is None else [snapshot.deadline]
    for contact in snapshot.op("tell"):
        if begins > snapshot.now:
            moments.append(begins)
            break
        if not contact.failed:
            due.append(contact)
            begins += patience
    until = min(moments, default=None)
    calls = dtm.ordering.at_once(due)
    return dtm.Call(calls, until=until) if calls else dtm.Wait(until)


PROTOCOL = dtm.Protocol(
    name="escalation",
    summary="tell one after the other until somebody acknowledges, then withdraw it from the others",
    ops={"tell": dtm.Op(may_fail=True), "withdraw": dtm.Op(undoes="tell")},
    verbs={
        (dtm.Verb.PREPARE, None): dtm.Status.PREPARED,  # raised
        (dtm.Verb.REGISTER, dtm.Status.PREPARED): dtm.Status.PREPARED,
        (dtm.Verb.SUBMIT, dtm.Status.PREPARED): dtm.Status.SUBMITTED,  # acknowledged
        (dtm.Verb.ABORT, dtm.Status.PREPARED): dtm.Status.ABORTING,  # called off
    },
    request_schema=REQUEST,
    branch_schema=CONTACT,
    settings_schema=SETTINGS,
    expand=expand,
    register=register,
    plan=plan,
)


@dtm.hookimpl
def dtm_register_protocols() -> list[dtm.Protocol]:
    """Offer the escalation."""
    return [PROTOCOL]
