"""The values that everything speaks of: statuses, branches, the stored transaction.

All times are UTC milliseconds by the database's clock. Everything is frozen; a change is a new value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from dtm.core.values import maker, quick, replacer

Key = tuple[str, str]
"""A branch's identity within its transaction: `(branch_id, op)`."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def nothing() -> Mapping[str, Any]:
    """The empty read-only mapping: the default of every mapping here."""
    return _NOTHING


class Status(StrEnum):
    """Status of a transaction. `SUCCEED` and `FAILED` are final."""

    PREPARED = "prepared"
    SUBMITTED = "submitted"
    ABORTING = "aborting"
    SUCCEED = "succeed"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Whether the transaction has ended: a final status never changes."""
        return self in _FINAL


_FINAL = frozenset({Status.SUCCEED, Status.FAILED})


class BranchStatus(StrEnum):
    """Status of one operation of one participant; leaves `PREPARED` at most once."""

    PREPARED = "prepared"
    SUCCEED = "succeed"
    FAILED = "failed"


# Names of their own for what is asked most: looking up a member of an enum costs more than all the rest of a property.
_PENDING, _SUCCEEDED, _REFUSED = BranchStatus.PREPARED, BranchStatus.SUCCEED, BranchStatus.FAILED


class Outcome(StrEnum):
    """How a participant answered. ERROR is everything that is no clear answer: the call is tried again."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    ONGOING = "ONGOING"
    ERROR = "ERROR"


_SUCCESS, _FAILURE, _ONGOING = Outcome.SUCCESS, Outcome.FAILURE, Outcome.ONGOING


class Verb(StrEnum):
    """What a client may ask for."""

    PREPARE = "prepare"
    SUBMIT = "submit"
    ABORT = "abort"
    REGISTER = "register"
    FORCE_STOP = "force-stop"


@dataclass(frozen=True, slots=True)
class Op:
    """The rollback rules of one operation.

    may_fail: a FAILURE answer ends the branch (`failed`); otherwise FAILURE is one more reason to try again.
    undoes: the operation of the same protocol, on the same branch_id, that this one takes back.
    always_post: POST also when the payload is empty (else an empty payload is a GET).
    """

    may_fail: bool = False
    undoes: str | None = None
    always_post: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """One finished call: `time` (ms, when it began), `duration_ms`, `outcome`, and what went wrong, if anything."""

    time: int
    duration_ms: int
    outcome: Outcome
    error: str = ""


new_attempt = maker(Attempt)


@quick
@dataclass(frozen=True, slots=True)
class Branch:
    """One operation of one participant, and how it stands.

    `started` counts calls begun; `attempts` counts answers ERROR (and FAILURE where the op may not fail).
    `started_at` is when the first call began, `ended_at` when the last one landed, `error` what the last one said.
    `retry_at` (back-off), `log` (the first 3 and the last 7 attempts) and `answered` (how many there were in all) are
    the engine's own book-keeping: a plan has no use for them.
    """

    branch_id: str
    op: str
    url: str
    payload: bytes = b""
    status: BranchStatus = BranchStatus.PREPARED
    started: int = 0
    attempts: int = 0
    started_at: int | None = None
    ended_at: int | None = None
    error: str = ""
    retry_at: int | None = None
    log: tuple[Attempt, ...] = ()
    answered: int = 0

    @property
    def key(self) -> Key:
        """`(branch_id, op)`."""
        return (self.branch_id, self.op)

    @property
    def pending(self) -> bool:
        """Neither succeeded nor failed yet."""
        return self.status is _PENDING

    @property
    def succeeded(self) -> bool:
        """The participant answered SUCCESS (or there was nothing to call)."""
        return self.status is _SUCCEEDED

    @property
    def failed(self) -> bool:
        """The participant answered FAILURE, and the operation may fail."""
        return self.status is _REFUSED


changed_branch = replacer(Branch)
"""A branch with some fields changed."""

_recorded = replacer(Branch, "status", "attempts", "log", "answered", "ended_at", "error")

LOG_FIRST, LOG_LAST = 3, 7
ERROR_CHARS = 1024


def evolve(branch: Branch, outcome: Outcome, op: Op) -> tuple[BranchStatus, int]:
    """Status and `attempts` of a branch after an answer: one rule for all protocols (architecture, section 4).

    A branch that is no longer pending stays as it is: a late answer changes nothing.
    """
    if not branch.pending or outcome is _ONGOING:
        return branch.status, branch.attempts
    if outcome is _SUCCESS:
        return _SUCCEEDED, branch.attempts
    if outcome is _FAILURE and op.may_fail:
        return _REFUSED, branch.attempts
    return branch.status, branch.attempts + 1


def record(branch: Branch, attempt: Attempt, op: Op) -> Branch:
    """Fold a finished call into a branch: how it stands now, and its story (the first 3 and the last 7 are kept)."""
    status, attempts = evolve(branch, attempt.outcome, op)
    log = (*branch.log, attempt)
    if len(log) > LOG_FIRST + LOG_LAST:
        log = log[:LOG_FIRST] + log[-LOG_LAST:]
    ended, error, answered = attempt.time + attempt.duration_ms, attempt.error[:ERROR_CHARS], branch.answered + 1
    return _recorded(branch, status=status, attempts=attempts, log=log, answered=answered, ended_at=ended, error=error)


@quick
@dataclass(frozen=True, slots=True)
class Options:
    """What a client may ask of one transaction (contract 1.0); zero means "the server's default". Times in seconds."""

    wait_result: bool = False
    timeout_to_fail: int = 0
    request_timeout: int = 0
    retry_interval: int = 0
    branch_headers: Mapping[str, str] = field(default_factory=nothing)
    concurrent: bool = False
    retry_limit: int = 0
    retry_count: int = 0


@dataclass(frozen=True, slots=True)
class Transaction:
    """One stored row: searchable columns, what was asked, and how it stands.

    `version` is the compare-and-set key and fencing token; `owner` the token of the claim that runs it ("" = free);
    `due_at` the lease while `owner` is set, else when anybody may claim it (None: not before somebody calls the API).
    `doubt`: calls may have begun that this row does not record. `questions` are the `Ask`s put so far. `next_at` is
    the last schedule, kept for replies while the row is owned; `trouble` the text of a `BadPlan`, or
    why it was stopped.
    """

    gid: str
    trans_type: str
    protocol_version: str
    status: Status
    created_at: int
    body: Mapping[str, Any] = field(default_factory=nothing)
    options: Options = Options()
    custom_data: str = ""
    branches: tuple[Branch, ...] = ()
    questions: tuple[Branch, ...] = ()
    reason: str = ""
    result: str = ""
    next_at: int | None = None
    trouble: str = ""
    id: int = 0
    version: int = 0
    owner: str = ""
    doubt: bool = False
    due_at: int | None = None
    updated_at: int = 0
    finished_at: int | None = None

    @property
    def stopped(self) -> bool:
        """Whether only an operator may go on with it: free, in doubt and not due, which a row is in no other case."""
        return self.doubt and not self.owner and self.due_at is None and not self.status.final


new_transaction, changed_transaction = maker(Transaction), replacer(Transaction)
saved_transaction = replacer(Transaction, "version")
"""A transaction; one with some fields changed; one that was saved, with its version."""
