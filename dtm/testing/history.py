"""What happened in a simulation, as it could be seen from outside: by clients, participants, and in the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dtm.core.decisions import Decision
from dtm.core.model import BranchStatus, Key, Status, Transaction
from dtm.core.model import nothing as nothing_known
from dtm.core.snapshot import Snapshot
from dtm.testing.scenario import Faults, Step

FORCED = "force stopped"
"""The reason that a force-stop leaves behind."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One event. `at`: virtual seconds; `kind`: see `History`; `node`: where, if anywhere."""

    at: float
    kind: str
    node: str = ""
    key: Key | None = None
    status: Status | None = None
    text: str = ""
    branches: tuple[tuple[Key, BranchStatus], ...] = ()
    version: int = 0
    why: str = ""

    def __str__(self) -> str:
        key = "/".join(self.key) if self.key else ""
        what = [self.kind, self.node, key, str(self.status or ""), self.text, f"({self.why})" if self.why else ""]
        return f"{self.at:9.3f}  " + " ".join(word for word in what if word)


@dataclass(frozen=True, slots=True)
class Planned:
    """What a plan said about one snapshot: a decision, or how it failed (`error`)."""

    snapshot: Snapshot
    decision: Decision | None
    error: str = ""


@dataclass(slots=True)
class History:
    """The events of one run, in order, and how it ended.

    kinds: `invoke`, `ok`, `refused`, `unknown` (client); `request` (a participant got one), `effect` (it took effect),
    `reply` (delivered, text = outcome; `lost` when it was not); `row` (a committed write: status, branches, version);
    `claim` (text = "doubt" when it found some); `start`, `crash`, `stop`, `stall` (nodes); `jump` (the clock).

    The rest is what it takes to play it again: protocol, steps, seed, settings, and faults, each named by its place.
    `points` and `calls` count the places at which something could have gone wrong; `plans` is all the plan was asked.
    """

    protocol: str
    version: str
    steps: tuple[Step, ...]
    seed: int
    faults: Faults
    settings: Mapping[str, Any] = field(default_factory=nothing_known)
    events: list[Happening] = field(default_factory=list)
    plans: list[Planned] = field(default_factory=list)
    final: Transaction | None = None
    quiet: bool = False
    """Whether everything had come to rest when the run ended."""
    points: int = 0
    calls: int = 0

    def add(self, at: float, kind: str, node: str = "", **what: Any) -> None:
        """Note an event."""
        self.events.append(Happening(at, kind, node, **what))

    def of(self, *kinds: str) -> Iterator[Happening]:
        """The events of these kinds, in order."""
        return (event for event in self.events if event.kind in kinds)

    @property
    def forced(self) -> bool:
        """Whether an operator ended it by force: then what is left undone is the operator's."""
        return any(row.text == FORCED for row in self.of("row"))

    def story(self) -> str:
        """The whole history as text, one event a line."""
        return "\n".join([f"seed {self.seed}", *map(str, self.events), f"final: {self.final and self.final.status}"])

    def __str__(self) -> str:
        return self.story()
