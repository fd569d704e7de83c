"""Looks at the versions of rows that are about to be called for: many askers, one statement (law 5.11)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass

from dtm.core.clock import Clock
from dtm.core.errors import StoreUnavailable
from dtm.core.store.base import Store

log = logging.getLogger(__name__)

FEW = 50
"""Rows that one statement asks for: so few that the last of their calls begins soon after the answer has come."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of a row: its version (None: it is not held by that token) at `at` (boot clock, before it left)."""

    version: int | None
    at: float


@dataclass(frozen=True, slots=True, eq=False)
class _Asker:
    row_id: int
    token: str
    answer: asyncio.Future[Sight]


class Lookout:
    """One statement at a time; those who ask meanwhile share the next one.

    A node whose event loop lags thus has few rows between the look and the call. Were all of them to look at once, the
    last would come to its call after its look had become too old, and would look again, for ever.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._askers: deque[_Asker] = deque()
        self._looking: asyncio.Task[None] | None = None

    async def look(self, row_id: int, token: str) -> Sight:
        """The version of a row that this token holds. StoreUnavailable."""
        loop = asyncio.get_running_loop()
        asker = _Asker(row_id, token, loop.create_future())
        self._askers.append(asker)
        if self._looking is None:
            self._looking = loop.create_task(self._look())
        return await asker.answer

    async def _look(self) -> None:
        try:
            while askers := [self._askers.popleft() for _ in range(min(FEW, len(self._askers)))]:
                await self._answer([asker for asker in askers if not asker.answer.done()])
        finally:
            self._looking = None

    async def _answer(self, askers: list[_Asker]) -> None:
        at = self._clock.boot()
        try:
            seen = await self._store.owned_versions({asker.row_id: asker.token for asker in askers})
        except Exception as error:
            if not isinstance(error, StoreUnavailable):
                log.exception("a look at %d rows failed", len(askers))
            for asker in askers:
                if not asker.answer.done():
                    asker.answer.set_exception(StoreUnavailable(str(error)))
            return
        for asker in askers:
            if not asker.answer.done():
                asker.answer.set_result(Sight(seen.get(asker.row_id), at))
