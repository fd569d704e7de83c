"""Group loading: rows that are asked for while others are being read are read together, in the next statement.

As in group commit there is no timer. A statement begins after all its rows were asked for, so each answer is as new as
if it had been read alone. What the engine hands in is one coroutine, `read(gids)`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain

from dtm.core.errors import CorruptRow, StoreUnavailable
from dtm.core.logs import PASS
from dtm.core.model import Transaction
from dtm.core.reminders import RESOLUTION
from dtm.core.store.turns import grown, idle_turns

MOST = 50
"""Rows of one statement: so few that large ones do not fill the memory, so many that its own cost counts no more."""

log = logging.getLogger(__name__)

Found = Transaction | CorruptRow
"""A row, or why it cannot be read: nobody else's concern."""

Read = Callable[[Sequence[str]], Awaitable[Mapping[str, Found]]]
"""The rows that there are of these gids, which are all different. StoreUnavailable: none of them could be read."""


class _Asker:
    """Whoever waits for a row, and until when (the loop's clock)."""

    __slots__ = ("answer", "expires", "gid")

    def __init__(self, gid: str, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self.gid = gid
        self.answer: asyncio.Future[Transaction | None] = loop.create_future()
        self.expires = loop.time() + timeout


class GroupLoad:
    """One queue in front of `lanes` concurrent reads. `timeout` in seconds, for each row."""

    def __init__(self, read: Read, *, lanes: int = 1, timeout: float = 5.0) -> None:
        self._read = read
        self._lanes = lanes
        self._timeout = timeout
        self._queue: list[_Asker] = []
        self._gathering = False
        self._last_size = 1
        self._idle_turns = idle_turns(lanes)
        self._flying: set[_Asker] = set()
        self._flights: set[asyncio.Task[None]] = set()
        self._watched = False
        self._closing = False

    def load(self, gid: str) -> asyncio.Future[Transaction | None]:
        """The row of a gid, or None. StoreUnavailable; CorruptRow."""
        if self._closing:
            raise StoreUnavailable("the store is closed")
        loop = asyncio.get_running_loop()
        asker = _Asker(gid, loop, self._timeout)
        self._queue.append(asker)
        if not self._gathering and len(self._flights) < self._lanes:
            self._gathering = True
            # The set keeps the task alive: asyncio itself holds only a weak reference.
            self._flights.add(loop.create_task(self._fly()))
        if not self._watched:
            self._watched = True
            loop.call_at(asker.expires, self._watch, loop)
        return asker.answer

    async def close(self) -> None:
        """Take nothing new, read what is queued, wait for what is in flight, `timeout` at most. Idempotent."""
        self._closing = True
        if self._flights:
            await asyncio.wait(self._flights, timeout=self._timeout)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell those who have waited too long; come again when the next of them has."""
        soon = loop.time() + RESOLUTION
        for asker in chain(self._queue, self._flying):
            if asker.expires <= soon and not asker.answer.done():
                asker.answer.set_exception(StoreUnavailable("the database has not answered"))
        left = [asker.expires for asker in chain(self._queue, self._flying) if not asker.answer.done()]
        self._watched = bool(left)
        if left:
            loop.call_at(min(left), self._watch, loop)

    async def _fly(self) -> None:
        PASS.set(None)  # it flies for all, not only for whoever came first
        try:
            while batch := await self._batch():
                try:
                    await self._answer(batch)
                finally:
                    self._flying.difference_update(batch)
                if self._gathering:
                    break  # another lane does
        finally:
            # Here, not in a callback later: an asker in between would find its lane taken by a task that has ended.
            task = asyncio.current_task()
            assert task is not None
            self._flights.discard(task)

    async def _batch(self) -> list[_Asker]:
        """Who is to be answered next, and in flight from now on."""
        self._gathering = True
        try:
            await grown(lambda: len(self._queue), self._last_size, self._idle_turns)
            waiting = [asker for asker in self._queue if not asker.answer.done()]
            batch, self._queue = waiting[:MOST], waiting[MOST:]
            self._flying.update(batch)
            self._last_size = len(batch) or self._last_size
            return batch
        finally:
            self._gathering = False

    async def _answer(self, batch: list[_Asker]) -> None:
        gids = list(dict.fromkeys(asker.gid for asker in batch))
        try:
            found = await self._read(gids)
        except Exception as error:
            if not isinstance(error, StoreUnavailable):
                log.exception("a load of %d rows failed", len(gids))
            for asker in batch:
                if not asker.answer.done():  # one each: a traceback is not to be shared
                    asker.answer.set_exception(StoreUnavailable(str(error)))
            return
        for asker in batch:
            if asker.answer.done():
                continue
            row = found.get(asker.gid)
            if isinstance(row, CorruptRow):
                asker.answer.set_exception(CorruptRow(str(row)))
            else:
                asker.answer.set_result(row)
