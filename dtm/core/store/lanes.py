"""Lanes to the database: what is asked for while others are under way goes there together, in the next statement.

There is no timer: a batch leaves when a turn of the event loop has brought nothing more, so a lone item after one turn;
on a single lane, if the last batch was larger, when a few turns have.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable
from itertools import chain
from typing import Any, Generic, TypeVar

from dtm.core.errors import DtmError, StoreUnavailable
from dtm.core.logs import PASS
from dtm.core.reminders import RESOLUTION

TURNS = 32
"""Turns of the event loop for which a batch may grow: one that brings nothing takes some microseconds, a statement some
hundred.
"""

IDLE_TURNS = 8
"""Turns that have brought nothing after which a batch leaves that is smaller than the last one, where there is one
lane: what misses it waits until it has landed. With more lanes the next one takes it.
"""

T = TypeVar("T")


class Waiting(Generic[T]):
    """Whoever waits for an `answer`, and until when (the loop's clock)."""

    __slots__ = ("answer", "expires")

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self.answer: asyncio.Future[T] = loop.create_future()
        self.expires = loop.time() + timeout


W = TypeVar("W", bound=Waiting[Any])


class Lanes(ABC, Generic[W]):
    """One queue in front of `lanes` batches that are under way at a time. `timeout` in seconds, for each who waits."""

    def __init__(self, lanes: int, timeout: float) -> None:
        self._lanes = lanes
        self._timeout = timeout
        self._queue: list[W] = []
        self._gathering = False
        self._last_size = 1
        self._idle_turns = IDLE_TURNS if lanes == 1 else 1
        self._flights: set[asyncio.Task[None]] = set()
        self._watched = False
        self._closing = False

    async def close(self) -> None:
        """Take nothing new, see to what is queued, wait for what is in flight, `timeout` at most. Idempotent."""
        self._closing = True
        if self._flights:
            await asyncio.wait(self._flights, timeout=self._timeout)

    @abstractmethod
    def _gather(self) -> list[W]:
        """Take from the queue what goes next; from now on it is in flight. Those whose answer is done have gone."""

    @abstractmethod
    async def _carry(self, batch: list[W]) -> None:
        """Take a batch to the database and back, and answer those who still wait. It raises nothing."""

    @abstractmethod
    def _landed(self, batch: list[W]) -> None:
        """It is no longer in flight."""

    @abstractmethod
    def _in_flight(self) -> Iterable[W]:
        """Those of all batches that are."""

    @abstractmethod
    def _late(self, *, in_flight: bool) -> DtmError:
        """What is said to who has waited too long."""

    def _enter(self, waiting: W, loop: asyncio.AbstractEventLoop) -> None:
        if self._closing:
            raise StoreUnavailable("the store is closed")
        self._queue.append(waiting)
        if not self._gathering and len(self._flights) < self._lanes:
            self._gathering = True
            # The set keeps the task alive: asyncio itself holds only a weak reference.
            self._flights.add(loop.create_task(self._fly()))
        if not self._watched:
            self._watched = True
            loop.call_at(waiting.expires, self._watch, loop)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell those who have waited too long; come again when the next of them has."""
        soon = loop.time() + RESOLUTION
        for which, in_flight in ((self._in_flight(), True), (self._queue, False)):
            for waiting in which:
                if waiting.expires <= soon and not waiting.answer.done():
                    waiting.answer.set_exception(self._late(in_flight=in_flight))
        self._queue = [waiting for waiting in self._queue if not waiting.answer.done()]
        left = [waiting.expires for waiting in chain(self._queue, self._in_flight()) if not waiting.answer.done()]
        self._watched = bool(left)
        if left:
            loop.call_at(min(left), self._watch, loop)

    async def _fly(self) -> None:
        PASS.set(None)  # it flies for all, not only for whoever came first
        try:
            while batch := await self._batch():
                try:
                    await self._carry(batch)
                finally:
                    self._landed(batch)
                if self._gathering:
                    break  # another lane does
        finally:
            # Here, not in a callback later: between the two an item would find its lane taken by a task that has ended.
            task = asyncio.current_task()
            assert task is not None
            self._flights.discard(task)

    async def _batch(self) -> list[W]:
        """What goes next, and is in flight from now on: what is queued when turns have brought nothing."""
        self._gathering = True
        try:
            seen = idle = 0
            for _ in range(TURNS):
                queued = len(self._queue)
                idle = idle + 1 if queued == seen else 0
                if not queued or idle == self._idle_turns or (idle and queued >= self._last_size):
                    break
                seen = queued
                await asyncio.sleep(0)
            batch = self._gather()
            self._last_size = len(batch) or self._last_size
            return batch
        finally:
            self._gathering = False
