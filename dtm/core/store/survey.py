"""What a store tells of itself: what is unfinished in it, and what can be seen of it without opening it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dtm.core.model import Status

COUNTED = 100_000
"""Where counting stops, so that a look at a store costs the same however much has piled up in it."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """How many transactions of a kind are unfinished, and when the oldest of them (by id) was created (ms).

    A count of COUNTED, here and below, means: that many, or more.
    """

    count: int
    oldest: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is unfinished: by (trans_type, status), without the pairs that have none.

    due: how many rows anybody may claim now, whatever they are. due_since: the earliest due_at among those (ms).
    quarantined: how many rows are in quarantine.
    """

    kinds: Mapping[tuple[str, Status], Unfinished]
    due: int
    due_since: int | None
    quarantined: int = 0


def by_kind(found: Iterable[tuple[str, Status, int, int, int]]) -> Mapping[tuple[str, Status], Unfinished]:
    """From trans_type, status, how many, id and created_at of the oldest: of each version of a protocol."""
    kinds: dict[tuple[str, Status], list[tuple[int, int, int]]] = {}
    for trans_type, status, number, row_id, created in found:
        kinds.setdefault((trans_type, status), []).append((row_id, created, number))
    return {
        kind: Unfinished(min(sum(number for _, _, number in each), COUNTED), min(each)[1])
        for kind, each in kinds.items()
    }


def total(counts: Sequence[int]) -> str:
    """The sum of what was counted, as people are told."""
    return f"{sum(counts)} or more" if max(counts, default=0) >= COUNTED else f"{sum(counts)}"


@dataclass(frozen=True, slots=True)
class Survey:
    """What was seen without opening, making, changing or claiming anything.

    name: the store, without user and password. present, known: the schema's revision there (0: there is none), and the
    one of this version of dtm. now: the database's time (ms). facts: names and texts for people, in order. dangers:
    what endangers transactions or coordinators, with advice, one line each. backlog: None when the schema is not the
    known one. versions: (trans_type, protocol_version) of what is unfinished.
    """

    name: str
    present: int
    known: int
    now: int
    facts: tuple[tuple[str, str], ...] = ()
    dangers: tuple[str, ...] = ()
    backlog: Backlog | None = None
    versions: frozenset[tuple[str, str]] = frozenset()
