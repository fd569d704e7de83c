"""Saga: a list of steps; what was done is taken back when one of them fails.

Each step names two urls: `action` does it, `compensate` takes it back. The client submits the whole list at once.

Forward (`submitted`): the actions are called one after the other, or, with `{"concurrent": true}` in custom_data, all
together, save what `orders` holds back. When all have succeeded, so has the saga.

Backward (`aborting`): an action answered FAILURE, the time-out struck, `retry_limit` was used up or the client asked to
abort. Every step whose action ran, or may have run, is compensated, the failing one too, the last first. A
compensation may not fail: it is called until it succeeds. Then the saga is `failed`.
"""

from __future__ import annotations

import dtm
from dtm.plugins.saga.branches import expand
from dtm.plugins.saga.planner import plan

PROTOCOL = dtm.Protocol(
    name="saga",
    summary="steps with compensations: when one fails, what was done is taken back",
    ops={"action": dtm.Op(may_fail=True), "compensate": dtm.Op(undoes="action")},
    verbs={**dtm.SUBMIT_ONLY, (dtm.Verb.ABORT, dtm.Status.SUBMITTED): dtm.Status.ABORTING},
    request_schema="saga.json",
    expand=expand,
    plan=plan,
    default_timeout=False,
    unfinished=dtm.Outcome.FAILURE,
)


@dtm.hookimpl
def dtm_register_protocols() -> list[dtm.Protocol]:
    """Offer the saga."""
    return [PROTOCOL]
