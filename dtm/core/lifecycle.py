"""Which verb is allowed in which status, and where it leads: the verb tables (contract 3.9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from dtm.core.errors import InvalidRequest, NotAllowed
from dtm.core.model import Status, Verb

Target = Status | Callable[[Any], Status]
Verbs = Mapping[tuple[str, Status | None], Target]
"""(verb, present status or None) -> the status it leads to, or a function of the `Request` that tells."""

SUBMIT_ONLY: Verbs = MappingProxyType({(Verb.SUBMIT, None): Status.SUBMITTED})

TWO_PHASE: Verbs = MappingProxyType(
    {
        (Verb.PREPARE, None): Status.PREPARED,
        (Verb.SUBMIT, None): Status.SUBMITTED,
        (Verb.SUBMIT, Status.PREPARED): Status.SUBMITTED,
        (Verb.ABORT, Status.PREPARED): Status.ABORTING,
        (Verb.REGISTER, Status.PREPARED): Status.PREPARED,
    }
)


MOVES: Mapping[Status, frozenset[Status]] = MappingProxyType(
    {
        Status.PREPARED: frozenset({Status.SUBMITTED, Status.ABORTING, Status.FAILED}),
        Status.SUBMITTED: frozenset({Status.SUCCEED, Status.ABORTING}),
        Status.ABORTING: frozenset({Status.FAILED}),
        Status.SUCCEED: frozenset(),
        Status.FAILED: frozenset(),
    }
)
"""From each status, where a plan or a verb may lead (I-SM-1), never back: so no plan can move in a circle.

Force-stop alone may do more.
"""

NOTES = 1024
"""Characters of a `result` that is added to without a change of status."""


def adds(status: Status, result: str, to: Status, more: str | None) -> bool:
    """Whether a plan that moves to the present status adds to its result, and does nothing else.

    That makes a choice durable within a status. It ends as well: each is longer than the one before, up to NOTES.
    """
    return to is status and more is not None and len(result) < len(more) <= NOTES and more.startswith(result)


def apply(verbs: Verbs, verb: str, status: Status | None, request: Any = None) -> Status:
    """The status that `verb` leads to; the present one when it is a repetition.

    InvalidRequest: the protocol does not know the verb at all. NotAllowed: it does, but not in this status.
    Force-stop is the core's own: from any unfinished status to failed, for every protocol.
    """
    if verb == Verb.FORCE_STOP:
        if status is None or status.final:
            raise NotAllowed(f"cannot {verb}", status)
        return Status.FAILED
    if (verb, status) in verbs:
        return _resolved(verbs[verb, status], request)
    targets = [target for (name, _), target in verbs.items() if name == verb]
    if not targets:
        raise InvalidRequest("/trans_type", f"this protocol does not know the verb {str(verb)!r}")
    if status is not None and not status.final and status in [_resolved(target, request) for target in targets]:
        return status
    raise NotAllowed(f"cannot {verb}", status)


def _resolved(target: Target, request: Any) -> Status:
    return target(request) if callable(target) else target
