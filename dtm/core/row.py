"""The working copy of one transaction: what is stored, and what this pass has learned since. No I/O in here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from dtm.core import backoff
from dtm.core.model import (
    ERROR_CHARS,
    Branch,
    BranchStatus,
    Key,
    Op,
    Outcome,
    Transaction,
    changed_branch,
    changed_transaction,
    new_attempt,
    nothing,
    record,
)
from dtm.core.protocol import Protocol
from dtm.core.snapshot import Answer, Snapshot, later_snapshot, new_snapshot
from dtm.core.values import maker, replacer

_SUCCESS = Outcome.SUCCESS  # a name of its own, as in `model`, for what is asked of every call

QUESTION = Op(may_fail=True)
"""A question takes yes and no for an answer."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides about one transaction beside its row: the protocol and the server's defaults (seconds)."""

    protocol: Protocol
    settings: Mapping[str, Any]
    retry_interval: float
    retry_interval_max: float
    request_timeout: float
    timeout_to_fail: float

    def timeout(self, tx: Transaction) -> float | None:
        """The time-out in effect, or None."""
        if tx.options.timeout_to_fail:
            return tx.options.timeout_to_fail
        return self.timeout_to_fail if self.protocol.default_timeout else None

    def call_timeout(self, tx: Transaction) -> float:
        """How long a participant may take to answer."""
        return tx.options.request_timeout or self.request_timeout

    def base_interval(self, tx: Transaction) -> float:
        """B of the back-off."""
        return backoff.base_interval(tx.options.retry_interval, tx.options.timeout_to_fail, self.retry_interval)

    def interval(self, tx: Transaction, attempts: int) -> float:
        """Wait after the `attempts`-th error, without jitter."""
        return backoff.interval(self.base_interval(tx), attempts, self.retry_interval_max)


def parsed_custom(text: str) -> Mapping[str, Any]:
    """custom_data as an object; it was checked when it came in."""
    return orjson.loads(text) if text else nothing()


def snapshot_of(
    tx: Transaction,
    rules: Rules,
    now: int,
    custom: Mapping[str, Any],
    *,
    branches: tuple[Branch, ...],
    questions: Iterable[Branch] = (),
    recovered: bool = False,
) -> Snapshot:
    """What a plan may see of a transaction whose branches and questions stand like this."""
    return new_snapshot(
        gid=tx.gid,
        status=tx.status,
        created=tx.created_at,
        now=now,
        timeout=rules.timeout(tx),
        request=tx.body,
        branches=branches,
        options=tx.options,
        custom=custom,
        settings=rules.settings,
        answers={
            question.op: Answer(Outcome.SUCCESS if question.succeeded else Outcome.FAILURE, question.error)
            for question in questions
            if not question.pending
        },
        result=tx.result,
        recovered=recovered,
        undoable=rules.protocol.undoable,
        version=tx.protocol_version,
    )


@dataclass(frozen=True, slots=True)
class Landing:
    """How one call ended. `sent`: at least one byte may have left. `time` in ms, when it began."""

    key: Key
    outcome: Outcome
    text: str
    time: int
    duration_ms: int
    sent: bool


new_landing = maker(Landing)

_started = replacer(Branch, "started", "started_at")


class Row:
    """One transaction as this pass knows it: `tx` is the row as last read or written, with its version and owner."""

    def __init__(self, tx: Transaction, rules: Rules, *, recovered: bool = False) -> None:
        self.tx = tx
        self.rules = rules
        self.recovered = recovered
        self.custom = parsed_custom(tx.custom_data)
        self._after = 0
        self._seen: Snapshot | None = None
        self._touched: set[Key] = set()
        self._branches: dict[Key, Branch] = {}
        self._questions: dict[Key, Branch] = {}
        self._take_in(tx)

    def _take_in(self, tx: Transaction) -> None:
        """Look at a stored row; what this pass knows better of single branches stands."""
        mine, asked = self._branches, self._questions
        self._branches = {branch.key: branch for branch in tx.branches}
        self._questions = {question.key: question for question in tx.questions}
        for key in self._touched:
            if key in asked:
                self._questions[key] = asked[key]
            elif key in self._branches:
                self._branches[key] = mine[key]
        if self.recovered:
            self._mark_doubtful()

    def _mark_doubtful(self) -> None:
        """An earlier node may have begun any pending call that can be undone: count it as started (law 5.4)."""
        for key, branch in self._branches.items():
            if branch.pending and not branch.started and branch.op in self.rules.protocol.undoable:
                self._touched.add(key)
                self._branches[key] = changed_branch(branch, started=1)

    def reloaded(self, tx: Transaction) -> None:
        """Somebody else wrote the row: take it, with what landed here folded in again."""
        if tx.custom_data != self.tx.custom_data:
            self.custom = parsed_custom(tx.custom_data)
        self.tx = tx
        self._seen = None
        self._take_in(tx)

    def saved(self, tx: Transaction) -> None:
        """The candidate has been written (`tx` carries its version)."""
        self.tx = tx
        self._seen = None

    def candidate(self, changes: Mapping[str, Any]) -> Transaction:
        """What to write: all that is known now, and these changes."""
        branches, questions = tuple(self._branches.values()), tuple(self._questions.values())
        return changed_transaction(self.tx, branches=branches, questions=questions, **changes)

    def snapshot(self, now: int) -> Snapshot:
        """What the plan sees now."""
        branches = tuple(self._branches.values())
        if self._seen is not None and not self._questions:  # only time has passed, and calls have landed
            self._seen = later_snapshot(self._seen, now=now, branches=branches)
        else:
            self._seen = snapshot_of(
                self.tx,
                self.rules,
                now,
                self.custom,
                branches=branches,
                questions=self._questions.values(),
                recovered=self.recovered,
            )
        return self._seen

    def get(self, key: Key) -> Branch | None:
        """A branch as it stands."""
        return self._branches.get(key)

    def question(self, key: Key) -> Branch | None:
        """A question as it stands."""
        return self._questions.get(key)

    def ask(self, question: Branch) -> None:
        """Remember a question before it is put."""
        self._touched.add(question.key)
        self._questions[question.key] = question

    def _book(self, key: Key) -> dict[Key, Branch]:
        """Where this branch or question stands, which is about to change."""
        self._touched.add(key)
        return self._branches if key in self._branches else self._questions

    def skip(self, key: Key, now: int) -> None:
        """Nothing to call (an empty url): success at once."""
        book = self._book(key)
        book[key] = changed_branch(book[key], status=BranchStatus.SUCCEED, ended_at=now)

    def start(self, key: Key, now: int) -> int:
        """A call is about to leave; when (ms). It is later than what has landed, so that times tell who came first."""
        now = max(now, self._after)
        book = self._book(key)
        branch = book[key]
        started_at = now if branch.started_at is None else branch.started_at
        book[key] = _started(branch, started=branch.started + 1, started_at=started_at)
        return now

    def forget_waits(self, until: int | None = None) -> None:
        """Somebody wants it tried now: waits that end by `until` (ms; None: all) count no longer."""
        for branches in (self._branches, self._questions):
            for key, branch in branches.items():
                if branch.retry_at is not None and (until is None or branch.retry_at <= until):
                    branches[key] = changed_branch(branch, retry_at=None)
                    self._touched.add(key)

    def put_off(self, key: Key, now: int, seconds: float) -> None:
        """No slot was to be had: later, and no attempt is counted."""
        book = self._book(key)
        book[key] = changed_branch(book[key], retry_at=now + round(seconds * 1000))

    def land(self, landing: Landing, random: float) -> Branch:
        """Fold a landed call in; `random` in [0, 1) jitters the back-off. Returns the branch as it stands now."""
        key, book = landing.key, self._book(landing.key)
        op = QUESTION if book is self._questions else self.rules.protocol.ops[key[1]]
        if landing.time >= self._after:
            self._after = landing.time + 1
        text = landing.text[:ERROR_CHARS] if landing.outcome is not _SUCCESS else ""
        branch = record(book[key], new_attempt(landing.time, landing.duration_ms, landing.outcome, text), op)
        retry_at = self._retry_at(branch, landing, random) if branch.pending else None
        if retry_at != branch.retry_at:
            branch = changed_branch(branch, retry_at=retry_at)
        book[key] = branch
        return branch

    def _retry_at(self, branch: Branch, landing: Landing, random: float) -> int:
        base = self.rules.base_interval(self.tx)
        if landing.outcome is Outcome.ONGOING:
            wait = base
        elif not landing.sent:
            wait = backoff.unsent_interval(base, branch.attempts)
        else:
            wait = self.rules.interval(self.tx, branch.attempts)
        return landing.time + landing.duration_ms + round(backoff.jittered(wait, random) * 1000)

    def try_at(self, branch: Branch, quick_tries: int) -> tuple[int, bool]:
        """When this branch may be called (ms; 0 = now), and whether the pass should stay for it."""
        if branch.retry_at is None:
            return 0, False
        if 0 < branch.attempts <= quick_tries and branch.log and branch.log[-1].outcome is not Outcome.ONGOING:
            wait = backoff.quick_interval(self.rules.base_interval(self.tx), branch.attempts)
            return (branch.ended_at or 0) + round(wait * 1000), True
        return branch.retry_at, False
