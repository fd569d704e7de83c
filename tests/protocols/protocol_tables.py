"""Shared by the protocol tests: snapshots and decisions as short strings, and an engine without any I/O.

Marks of branches, in stored order: p pending and never called, ? called without a clear answer, s succeeded, f failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import dtm
from dtm.core.lifecycle import apply
from dtm.core.model import evolve

S, F = dtm.BranchStatus.SUCCEED, dtm.BranchStatus.FAILED
MARKS = {
    "p": {},
    "?": {"started": 1},
    "s": {"started": 1, "status": S},
    "f": {"started": 1, "status": F, "error": "no"},
}
CREATED = 1_000_000


def stand(branches: Iterable[dtm.Branch], marks: str) -> tuple[dtm.Branch, ...]:
    pairs = zip(branches, marks.replace(" ", ""), strict=True)
    return tuple(replace(branch, **MARKS[mark]) for branch, mark in pairs)


def marks_of(branches: Iterable[dtm.Branch]) -> str:
    return "".join("?" if b.pending and b.started else b.status[0] for b in branches)


def snap(protocol: dtm.Protocol, branches: Iterable[dtm.Branch], marks: str, status: str, **more: Any) -> dtm.Snapshot:
    fields: dict[str, Any] = {"created": CREATED, "now": CREATED, "undoable": protocol.undoable, **more}
    return dtm.Snapshot("g", dtm.Status(status), branches=stand(branches, marks), **fields)


def say(decision: dtm.Decision) -> str:
    match decision:
        case dtm.Call(branches):
            return " ".join(["call", *(f"{branch.op}.{branch.branch_id}" for branch in branches)])
        case dtm.Ask(op, url, payload, branch_id):
            return f"ask {op}.{branch_id} {url} {payload!r}"
        case dtm.Move(status, reason):
            return f"move {status}: {reason}" if reason else f"move {status}"
        case dtm.Wait(until):
            return "wait" if until is None else f"wait {until - CREATED}"
    raise AssertionError(decision)


def pointer_of(error: dtm.InvalidRequest) -> str:
    return error.errors[0][0]


class Play:
    """One history of one transaction, its turns picked by `choose`; after `patience` turns everything goes well.

    `called` are the keys of all branches that a participant saw, whatever the stored row knows of it.
    """

    def __init__(self, protocol: dtm.Protocol, snapshot: dtm.Snapshot, choose: Callable[[Sequence[Any]], Any]) -> None:
        self.protocol, self.now, self.stored, self.choose = protocol, snapshot, snapshot, choose
        self.flying: list[tuple[str, str]] = []
        self.called: list[tuple[str, str]] = []
        self.patience = 40

    def turns(self) -> Iterator[tuple[dtm.Snapshot, dtm.Decision]]:
        """Each snapshot with what was decided on it, up to the final status (which `self.now` then has)."""
        for _ in range(400):
            if self.now.status.final:
                return
            decision = self.protocol.plan(self.now)
            assert decision == self.protocol.plan(self.now), "a plan depends on its snapshot only"
            yield self.now, decision
            self.patience -= 1
            self.carry_out(decision)
            if self.patience > 0:
                self.disturb()
        raise AssertionError(f"no end in sight: {self.now}")

    def carry_out(self, decision: dtm.Decision) -> None:
        match decision:
            case dtm.Move(status, _) if not (status.final and self.flying):
                self.now = self.stored = replace(self.now, status=status)
            case dtm.Ask(op, _):
                if (outcome := self.outcome()) in (dtm.Outcome.SUCCESS, dtm.Outcome.FAILURE):
                    self.now = replace(self.now, answers={op: dtm.Answer(outcome)})
            case dtm.Wait(until):
                assert until is not None
                assert until > self.now.now
                self.now = replace(self.now, now=until)
            case dtm.Call(branches):
                assert branches or self.flying, "an empty wish leads nowhere"
                self.start(branches)
        if self.flying:
            self.land(self.choose(self.flying))

    def start(self, branches: Sequence[dtm.Branch]) -> None:
        for branch in branches:
            undone = (branch.branch_id, self.protocol.ops[branch.op].undoes)
            if branch.key not in self.flying and undone not in self.flying:
                self.flying.append(branch.key)
                self.called.append(branch.key)
                self.change(branch.key, lambda b: replace(b, started=b.started + 1))

    def land(self, key: tuple[str, str]) -> None:
        self.flying.remove(key)
        outcome = self.outcome()

        def answered(branch: dtm.Branch) -> dtm.Branch:
            status, attempts = evolve(branch, outcome, self.protocol.ops[branch.op])
            return replace(branch, status=status, attempts=attempts)

        self.change(key, answered)

    def outcome(self) -> dtm.Outcome:
        return self.choose(list(dtm.Outcome)) if self.patience > 0 else dtm.Outcome.SUCCESS

    def change(self, key: tuple[str, str], how: Callable[[dtm.Branch], dtm.Branch]) -> None:
        branches = tuple(how(branch) if branch.key == key else branch for branch in self.now.branches)
        self.now = replace(self.now, branches=branches)

    def disturb(self) -> None:
        """Now and then a save, a crash, a client's verb, or the time-out."""
        verbs = [
            verb for verb, status in self.protocol.verbs if status is self.now.status and verb != dtm.Verb.REGISTER
        ]
        event = self.choose(["", "", "save", "crash", "time", *verbs])
        if event == "save":
            self.stored = self.now
        elif event == "crash":
            self.now, self.flying = replace(self.stored, recovered=True, now=self.now.now), []
        elif event == "time" and self.now.deadline is not None:
            self.now = replace(self.now, now=max(self.now.now, self.now.deadline))
        elif event in verbs:
            self.now = self.stored = replace(self.now, status=apply(self.protocol.verbs, event, self.now.status))
