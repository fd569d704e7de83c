"""The pluggy hooks: two, neither `firstresult`. A third comes only together with a real plugin that needs it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pluggy

from dtm.core.model import Outcome, Status
from dtm.core.protocol import Protocol
from dtm.core.values import maker

PROJECT = "dtm"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """A transaction was created (`before` is None) or moved; the change is committed."""

    gid: str
    trans_type: str
    before: Status | None
    after: Status
    created_at: int
    time: int
    reason: str = ""


new_status_changed = maker(StatusChanged)


@dataclass(frozen=True, slots=True)
class BranchAnswered:
    """A call of a branch, or of a question, landed and its result is committed. `attempts` counts its errors in a row.

    `url` and `error` are the participant's; `status` is the transaction's at that moment.
    """

    gid: str
    trans_type: str
    status: Status
    branch_id: str
    op: str
    url: str
    outcome: Outcome
    attempts: int
    error: str
    duration_ms: int
    question: bool = False


new_branch_answered = maker(BranchAnswered)


Event = StatusChanged | BranchAnswered


@hookspec
def dtm_register_protocols() -> Iterable[Protocol]:  # type: ignore[empty-body]
    """Return the protocols that this plugin provides; called once, at start.

    Example::

        @dtm.hookimpl
        def dtm_register_protocols():
            return [dtm.Protocol(name="notify", ...)]
    """


@hookspec
def dtm_observe(event: Event) -> None:
    """Hear what has been committed. Synchronous: hand slow work off. An error is logged and reaches no pass.

    Example::

        @dtm.hookimpl
        def dtm_observe(event):
            if isinstance(event, dtm.StatusChanged) and event.after is dtm.Status.FAILED:
                rolled_back.inc()
    """
