"""What a plan sees of a transaction. Times are UTC milliseconds by the database's clock; everything is frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dtm.core.model import Branch, Options, Outcome, Status, nothing
from dtm.core.values import maker, replacer


@dataclass(frozen=True, slots=True)
class Answer:
    """A definite answer to an `Ask`: SUCCESS or FAILURE, and the text that came with a FAILURE."""

    outcome: Outcome
    text: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a plan sees: the stored state of one transaction, and the time. A plan depends on nothing else.

    created, now, deadline: UTC milliseconds. timeout: seconds, None = never. `request` is the validated body,
    `custom` the parsed custom_data, `settings` what the operator wrote under `protocols.<name>`, `answers` the definite
    answers to questions, by op, `result` what an earlier Move has left. `recovered`: an earlier node may have begun
    calls that are not recorded here. `undoable` names the operations that another operation undoes. `version` is that
    of the protocol which created it.
    """

    gid: str
    status: Status
    created: int = 0
    now: int = 0
    timeout: float | None = None
    request: Mapping[str, Any] = field(default_factory=nothing)
    branches: tuple[Branch, ...] = ()
    options: Options = Options()
    custom: Mapping[str, Any] = field(default_factory=nothing)
    settings: Mapping[str, Any] = field(default_factory=nothing)
    answers: Mapping[str, Answer] = field(default_factory=nothing)
    result: str = ""
    recovered: bool = False
    undoable: frozenset[str] = frozenset()
    version: str = "1"

    @property
    def deadline(self) -> int | None:
        """When the time-out strikes (ms), or None."""
        return None if self.timeout is None else self.created + round(self.timeout * 1000)

    @property
    def timed_out(self) -> bool:
        """Whether the deadline has passed."""
        deadline = self.deadline
        return deadline is not None and self.now >= deadline

    def op(self, name: str) -> tuple[Branch, ...]:
        """All branches with this operation, in stored order."""
        return tuple([branch for branch in self.branches if branch.op == name])

    def may_have_run(self, branch: Branch) -> bool:
        """Whether the participant may have seen a call of this branch, whatever came back."""
        return branch.started > 0 or (self.recovered and branch.op in self.undoable)


new_snapshot, later_snapshot = maker(Snapshot), replacer(Snapshot, "now", "branches")
"""A snapshot; and one of the same transaction later."""
