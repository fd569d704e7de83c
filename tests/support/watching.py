"""Participants that write down when each call came and went, and how far the calls of one branch overlap."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from tests.support.ledger import Ledger
from tests.support.participants import Reply, Seen


@dataclass(frozen=True)
class Span:
    """One call as it was served, by this process's monotonic clock (s). `epoch`: what it said of its coordinator."""

    gid: str
    branch_id: str
    op: str
    epoch: int
    began: float
    ended: float


class Watching(Ledger):
    """A ledger with a stop-watch. `spans`: the calls that have been answered."""

    def __init__(self, moody: float = 0.0, slow: float = 0.0) -> None:
        self.spans: list[Span] = []
        super().__init__(moody=moody, slow=slow)

    async def serve(self, seen: Seen) -> Reply:
        """As the ledger does, noting the time."""
        began = time.monotonic()
        try:
            return await super().serve(seen)
        finally:
            epoch = int(seen.headers["dtm-epoch"])
            span = Span(seen.gid, seen.branch_id, seen.op, epoch, began, time.monotonic())
            with self._lock:
                self.spans.append(span)

    def by_branch(self, gids: set[str]) -> Iterator[list[Span]]:
        """The spans of each (gid, branch, op) of these transactions, in the order in which they came."""
        found: defaultdict[tuple[str, str, str], list[Span]] = defaultdict(list)
        with self._lock:
            spans = sorted(self.spans, key=lambda span: span.began)
        for span in spans:
            if span.gid in gids:
                found[span.gid, span.branch_id, span.op].append(span)
        yield from found.values()

    def overlapping(self, gids: set[str]) -> list[tuple[Span, Span]]:
        """Calls of one branch that came while another was not answered yet."""
        return [
            (first, then)
            for spans in self.by_branch(gids)
            for first, then in pairwise(spans)
            if then.began < first.ended
        ]

    def stale(self, gids: set[str]) -> list[Span]:
        """Calls whose epoch is lower than one that came before, of any branch of the transaction."""
        found, highest = [], defaultdict[str, int](int)
        with self._lock:
            spans = sorted(self.spans, key=lambda span: span.began)
        for span in spans:
            if span.gid in gids and span.epoch < highest[span.gid]:
                found.append(span)
            highest[span.gid] = max(highest[span.gid], span.epoch)
        return found
