"""What a simulation plays: the client's steps, and what goes wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dtm.core.model import Key, Verb

REPLIES = ("success", "failure", "ongoing", "error", "lost", "late", "refused")
"""lost: takes effect, the answer never arrives. late: takes effect, after the time-out. refused: no connection."""

STRIKES = ("crash", "stop", "stall", "ahead", "behind")
"""crash: kill -9. stop: SIGTERM. stall: the node cannot reach the database for a while, and another may take over.
ahead, behind: the database's clock jumps. Or a verb, which somebody else asks for, or `step N`: that one comes twice.
"""

VERBS = tuple(map(str, Verb))


@dataclass(frozen=True, slots=True)
class Step:
    """One request of the client: `after` virtual seconds from the one before, `verb` of the service, `body`.

    stubborn: sent again after an unknown outcome, as a careful client does. aside: sent beside the others, in a race.
    ValueError for an unknown verb.
    """

    verb: str
    body: Mapping[str, Any]
    after: float = 0.0
    stubborn: bool = True
    aside: bool = False

    def __post_init__(self) -> None:
        """Check the verb."""
        if self.verb not in VERBS:
            raise ValueError(f"unknown verb {self.verb!r}: expected one of {', '.join(VERBS)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong; by itself nothing does.

    By place: `script`: branch -> its replies in turn, the last one for ever; `replies`: the n-th call of all (from 0)
    -> its reply; `verdicts`: branch -> what it says in the end; `strikes`: the n-th point (from 0: before and after
    each write, and before and after each call takes effect) -> one of STRIKES, a verb, or `step N`.
    By chance: `trouble`, `strike`, `refusal`: probability of a troubled reply, of a strike at a point (at most `most`
    of them), and that a branch says no in the end, if it may.
    nodes: how many run beside one another; one that is gone comes back after `back` seconds. lag: calls and writes
    take their time. ValueError for a word that is none of these.
    """

    script: Mapping[Key, Sequence[str]] = field(default_factory=dict)
    replies: Mapping[int, str] = field(default_factory=dict)
    verdicts: Mapping[Key, str] = field(default_factory=dict)
    strikes: Mapping[int, str] = field(default_factory=dict)
    trouble: float = 0.0
    strike: float = 0.0
    refusal: float = 0.0
    most: int = 3
    nodes: int = 1
    back: float = 1.0
    lag: bool = True

    def __post_init__(self) -> None:
        """Check the words."""
        said = [
            *self.verdicts.values(),
            *self.replies.values(),
            *(kind for kinds in self.script.values() for kind in kinds),
        ]
        for kind in said:
            if kind not in REPLIES:
                raise ValueError(f"unknown reply {kind!r}: expected one of {', '.join(REPLIES)}")
        for kind in self.strikes.values():
            if kind not in (*STRIKES, *VERBS) and not kind.startswith("step "):
                raise ValueError(f"unknown strike {kind!r}: expected one of {', '.join((*STRIKES, *VERBS, 'step N'))}")

    @property
    def count(self) -> int:
        """How many things go wrong by place."""
        return len(self.strikes) + len(self.replies) + len(self.script) + len(self.verdicts)
