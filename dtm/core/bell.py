"""Waking one waiter: what an `asyncio.Event` does, for a single task and at a fraction of its cost."""

from __future__ import annotations

import asyncio


class Bell:
    """Rung by whoever has news; heard by the one task that waits for it, if it does.

    It remembers nothing: who waits looks first, with no suspension in between, whether there is news already.
    """

    __slots__ = ("_loop", "_waiter")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake the waiter."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, within: float | None = None) -> None:
        """Return when it rings, or after `within` seconds."""
        self._waiter = self._loop.create_future()
        timer = None if within is None else self._loop.call_later(within, self.ring)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
