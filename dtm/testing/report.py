"""What became of an examination: for people, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dtm.testing.history import History
from dtm.testing.saved import as_json


@dataclass(frozen=True, slots=True)
class Violation:
    """The smallest history that was found to break a law, and how it does."""

    how: str
    history: History | None
    """None for a law about several histories."""


@dataclass(slots=True)
class Verdict:
    """How one law fared: `broken` histories break it, `example` is the smallest that was found."""

    law: str
    sentence: str
    broken: int = 0
    example: Violation | None = None


@dataclass(slots=True)
class Report:
    """What `conformance` found. single: histories with at most one fault, all there are; generated: by chance."""

    protocol: str
    version: str
    verdicts: list[Verdict]
    single: int = 0
    generated: int = 0
    seed: int = 0
    seconds: float = 0.0
    complete: bool = field(default=True)
    """Whether all histories were looked at: a protocol that breaks laws everywhere is not worth the time."""

    @property
    def ok(self) -> bool:
        """Whether every law was kept."""
        return not self.broken

    @property
    def broken(self) -> list[str]:
        """The names of the laws that were broken, the most telling first."""
        return [verdict.law for verdict in self.verdicts if verdict.broken]

    def to_json(self) -> dict[str, Any]:
        """protocol, version, verdict ("conforms" or "broken"), histories, seed, laws with what breaks them."""
        return {
            "protocol": self.protocol,
            "version": self.version,
            "verdict": "conforms" if self.ok else "broken",
            "histories": {"single_fault": self.single, "generated": self.generated, "complete": self.complete},
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "laws": [_verdict(verdict) for verdict in self.verdicts],
        }

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        histories = f"{self.single} histories with a single fault, {self.generated} generated"
        if self.ok:
            yield f"{self.protocol} {self.version} keeps all {len(self.verdicts)} laws in {histories}"
            return
        yield f"{self.protocol} {self.version} breaks {len(self.broken)} of {len(self.verdicts)} laws in {histories}"
        for verdict in self.verdicts:
            if verdict.example is not None:
                yield from ("", f"{verdict.law}: {verdict.sentence}", f"  {verdict.example.how}")
                if verdict.example.history is not None:
                    yield from (f"  {line}" for line in told(verdict.example.history))


def told(history: History) -> Iterator[str]:
    """A history for people: what the client did, what went wrong, and then the story."""
    for step in history.steps:
        yield f"{step.verb} {step.body}"
    faults = history.faults
    for name, places in (("call", faults.replies), ("branch", faults.verdicts), ("point", faults.strikes)):
        for place, what in places.items():
            yield f"fault: {what} at {name} {'/'.join(place) if isinstance(place, tuple) else place}"
    yield from history.story().splitlines()


def _verdict(verdict: Verdict) -> dict[str, Any]:
    said: dict[str, Any] = {"name": verdict.law, "sentence": verdict.sentence, "broken": verdict.broken}
    if verdict.example is not None:
        said["how"] = verdict.example.how
        said["history"] = verdict.example.history and as_json(verdict.example.history)
    return said
