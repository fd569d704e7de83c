"""What a simulation plays: the client's steps, and what goes wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dtm.core.model import Key
from dtm.testing.participants import REPLIES, TROUBLES


@dataclass(frozen=True, slots=True)
class Step:
    """One request of the client: `after` virtual seconds from the one before, `verb` of the service, `body`.

    stubborn: sent again after an unknown outcome, as a careful client does. aside: sent beside the others, in a race.
    """

    verb: str
    body: Mapping[str, Any]
    after: float = 0.0
    stubborn: bool = True
    aside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong. trouble: probability of a troubled reply; crash: of a crash at each write, before and after it.

    script, verdicts: see `Participants.behave`; ValueError for a reply that is none of REPLIES or TROUBLES.
    crash_at: exactly these writes (counted from 0, twice per write: before, after) crash their node instead.
    nodes: how many run beside one another; a crashed one comes back after `back` seconds.
    """

    trouble: float = 0.2
    crash: float = 0.05
    crash_at: frozenset[int] | None = None
    crashes: int = 3
    nodes: int = 1
    back: float = 1.0
    script: Mapping[Key, Sequence[str]] = field(default_factory=dict)
    verdicts: Mapping[Key, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the words of the script."""
        known = {*REPLIES, *TROUBLES}
        for kind in (*self.verdicts.values(), *(kind for kinds in self.script.values() for kind in kinds)):
            if kind not in known:
                raise ValueError(f"unknown reply {kind!r}: expected one of {', '.join(sorted(known))}")
