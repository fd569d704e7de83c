"""Waking one waiter: what an `asyncio.Event` does, for a single task and at a fraction of its cost."""

from __future__ import annotations

import asyncio


class Bell:
    """Rung by whoever has news; heard by the one task that waits for it, if it does.

    It remembers nothing: who waits looks first, with no suspension in between, whether there is news already.
    """

    __slots__ = ("_loop", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake the waiter."""
        if self._waiter is not None:
            _wake(self._waiter)

    def wait(self, within: float | None = None) -> asyncio.Future[None]:
        """What is done when it rings, or after `within` seconds; to be awaited at once."""
        waiter = self._waiter = self._loop.create_future()
        if within is not None:
            timer = self._loop.call_later(within, _wake, waiter)
            waiter.add_done_callback(lambda _: timer.cancel())
        return waiter


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
