"""What a plan may decide. The engine carries a decision out; nothing else does (architecture, sections 4 and 5)."""

from __future__ import annotations

from dataclasses import dataclass

from dtm.core.model import Branch, Status
from dtm.core.values import quick


@quick
@dataclass(frozen=True, slots=True)
class Call:
    """These branches should be in flight now.

    A wish: what already flies is not started again. The plan is asked again when one lands, when a verb arrives, or at
    `until` (UTC ms, in the future; a passed one counts for nothing). While a branch's `attempts` are at most
    `quick_tries`, it is tried again within this pass after 0.1 * 2^(attempts-1) s instead of parking.
    """

    branches: tuple[Branch, ...]
    until: int | None = None
    quick_tries: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """Put a question to the application; a definite answer appears in `snapshot.answers[op]`.

    Its attempts, back-off and alerts are kept like a branch's; the engine parks meanwhile, the plan need not.
    """

    op: str
    url: str
    payload: bytes = b""
    branch_id: str = "00"


@quick
@dataclass(frozen=True, slots=True)
class Move:
    """Change the transaction's status: compare-and-set, durable before anything follows from it.

    `reason` (at most 1024 characters are kept) tells why it rolls back. `result` is what clients read in the end, and
    the plan in `snapshot.result` from then on: the place for a choice that must not be made a second time. A choice
    within a status is a move to that very status with a result that adds to `snapshot.result` (1024 characters in all).
    """

    status: Status
    reason: str = ""
    result: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `until` (UTC ms; None: before somebody calls the API)."""

    until: int | None = None


Decision = Call | Ask | Move | Wait
