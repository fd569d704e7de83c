"""An event loop whose time is virtual: it never sleeps, it jumps to the next moment at which something is due."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from dtm.core.clock import Clock

T = TypeVar("T")
EPOCH = 1_700_000_000_000
"""UTC milliseconds at which every simulation begins."""

place: ContextVar[str] = ContextVar("place", default="")
"""The node on which the present task runs; tasks inherit it."""


@contextmanager
def elsewhere(name: str) -> Iterator[None]:
    """Tasks that are made within belong to this place, and do not die with the present one."""
    token = place.set(name)
    try:
        yield
    finally:
        place.reset(token)


class NothingLeft(Exception):
    """Everything waits, and nothing will ever wake it."""


class _NoSelector(selectors.BaseSelector):
    """There are no sockets in a simulation: waiting for one means that time passes."""

    def __init__(self) -> None:
        self.now = 0.0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingLeft
        self.now += timeout
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        self._keys[fileobj] = key = selectors.SelectorKey(fileobj, -1, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs coroutines in virtual time; remembers which tasks belong to which `place`, so that a place can die."""

    def __init__(self) -> None:
        self._virtual = _NoSelector()
        super().__init__(self._virtual)
        self._tasks: dict[str, dict[asyncio.Task[Any], None]] = {}
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual.now

    def block(self, seconds: float) -> None:
        """Let time pass while nothing else runs: what computes in one go, or a machine that is too busy."""
        self._virtual.now += seconds

    def _make_task(self, loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **kwargs)
        tasks = self._tasks.setdefault(place.get(), {})
        tasks[task] = None
        task.add_done_callback(tasks.pop)
        return task

    def kill(self, name: str) -> None:
        """Cancel every task of a place, in the order in which they began."""
        for task in list(self._tasks.get(name, ())):
            task.cancel()


def run(main: Coroutine[Any, Any, T], loop: VirtualLoop) -> T:
    """Run a coroutine to its end on a virtual loop, and close the loop."""
    try:
        return loop.run_until_complete(main)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        try:
            loop.run_until_complete(asyncio.sleep(0))
            loop.run_until_complete(asyncio.sleep(0))
        finally:
            loop.close()


class VirtualClock(Clock):
    """The clocks of a simulation: both follow the loop's time, but the date jumps when told to."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._jumped = 0

    def jump(self, seconds: float) -> None:
        """Step the date; intervals go on."""
        self._jumped += round(seconds * 1000)

    def boot(self) -> float:
        """Virtual seconds."""
        return self._loop.time()

    def wall(self) -> int:
        """UTC milliseconds, from `EPOCH` on."""
        return EPOCH + self._jumped + round(self._loop.time() * 1000)
