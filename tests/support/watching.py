"""Participants that write down when each call came and went, and how far the calls of one branch overlap."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.support.ledger import CLOSED, Ledger
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

    def transfer(self, gid: str, *, refused: bool = False, **more: Any) -> dict[str, Any]:
        """A saga of three steps that moves money of this ledger; the last one is refused if so wished."""
        urls = [self.url(name) for name in "xyz"]
        accounts = [("till", -2), ("a", 1), (CLOSED if refused else "b", 1)]
        return {
            "gid": gid,
            "trans_type": "saga",
            "steps": [{"action": url, "compensate": url} for url in urls],
            "payloads": [json.dumps({"account": account, "amount": amount}) for account, amount in accounts],
            **more,
        }

    def check(self, endings: Mapping[str, str]) -> None:
        """Of each transfer all or nothing, as its end (gid -> status) says."""
        assert self.faults == []
        for gid, ending in endings.items():
            lines = self.effects(gid)
            acted = {branch_id: amount for branch_id, op, amount in lines if op == "action"}
            undone = {branch_id: amount for branch_id, op, amount in lines if op == "compensate"}
            if ending == "succeed":
                assert (sorted(acted), undone) == (["01", "02", "03"], {}), (gid, lines)
            else:
                assert set(acted) <= set(undone), (gid, lines)
                assert all(undone[branch_id] == -acted.get(branch_id, 0) for branch_id in undone), (gid, lines)
