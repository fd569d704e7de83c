"""What a saga should be doing now, read off its stored state."""

from __future__ import annotations

import dtm
from dtm.plugins.saga.branches import predecessors


def plan(snapshot: dtm.Snapshot) -> dtm.Decision:
    """Forward while submitted, backward while aborting."""
    return _forward(snapshot) if snapshot.status is dtm.Status.SUBMITTED else _backward(snapshot)


def _forward(snapshot: dtm.Snapshot) -> dtm.Decision:
    left = [branch for branch in snapshot.branches if branch.op == "action" and not branch.succeeded]
    if not left:
        return dtm.Move(dtm.Status.SUCCEED)
    for action in left:
        if action.failed:
            return dtm.Move(
                dtm.Status.ABORTING, f"url:{action.url} return failed: {action.error or 'fail message lost'}"
            )
    if snapshot.timed_out:
        return dtm.Move(dtm.Status.ABORTING, dtm.ordering.timeout_reason(snapshot))
    limit = snapshot.options.retry_limit
    if limit > 0 and any(action.attempts > limit for action in left):
        return dtm.Move(dtm.Status.ABORTING, f"RetryCount is greater than RetryLimit, RetryLimit: {limit}")
    concurrent = snapshot.custom.get("concurrent")
    ready = dtm.ordering.after(left, predecessors(snapshot.custom)) if concurrent else (left[0],)
    return dtm.Call(ready, until=snapshot.deadline, quick_tries=limit)


def _backward(snapshot: dtm.Snapshot) -> dtm.Decision:
    # Each action is judged by itself: its stored predecessors may lag behind what was really called.
    compensations = dtm.ordering.undoing(snapshot, "compensate", "action")
    if dtm.ordering.all_succeeded(compensations):
        return dtm.Move(dtm.Status.FAILED)
    if snapshot.custom.get("concurrent"):
        successors = dtm.ordering.reversed_graph(predecessors(snapshot.custom))
        return dtm.Call(dtm.ordering.after(compensations, successors))
    return dtm.Call(dtm.ordering.in_reverse(compensations))
