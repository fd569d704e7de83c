"""Call slots: how many calls may be in flight to one host at once, so that one dead participant slows nobody else."""

from __future__ import annotations

import asyncio
from collections import deque


class Slots:
    """A bound per host, first come first served. A host without calls costs no memory."""

    def __init__(self, per_host: int) -> None:
        self.waited = 0
        """Calls that had to queue so far."""
        self.missed = 0
        """Of these, those that got no slot in time."""
        self._per_host = per_host
        self._used: dict[str, int] = {}
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def waiting(self) -> int:
        """Calls in the queues now."""
        return sum(map(len, self._queues.values()))

    def take(self, host: str) -> bool:
        """Take a slot if one is free."""
        used = self._used.get(host, 0)
        if used == self._per_host:
            return False
        self._used[host] = used + 1
        return True

    async def acquire(self, host: str, patience: float) -> bool:
        """Take a slot; False when none came free within `patience` seconds."""
        if self.take(host):
            return True
        self.waited += 1
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(host, deque()).append(turn)
        try:
            async with asyncio.timeout(patience):
                await turn
        except TimeoutError:
            got = self._gave_up(host, turn)
            self.missed += not got
            return got
        except asyncio.CancelledError:
            if self._gave_up(host, turn):
                self.release(host)
            raise
        return True

    def _gave_up(self, host: str, turn: asyncio.Future[None]) -> bool:
        """Leave the queue; True when the slot had been handed over at the very last moment."""
        if turn.done() and not turn.cancelled():
            return True
        queue = self._queues.get(host)
        if queue and turn in queue:
            queue.remove(turn)
        return False

    def release(self, host: str) -> None:
        """Give a slot back: the first in the queue has it now."""
        queue = self._queues.get(host)
        while queue:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._queues.pop(host, None)
        used = self._used[host] - 1
        if used:
            self._used[host] = used
        else:
            del self._used[host]
