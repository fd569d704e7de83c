"""Many timers of one length: what was asked for first is due first, so one timer of the event loop does for all."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

RESOLUTION = 0.001
"""Seconds by which a timer of the event loop may come early."""


class Reminder:
    """One call that is to be made, unless it is no longer wanted."""

    __slots__ = ("at", "call")

    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at = at
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """It is not wanted, and holds on to nothing any more."""
        self.call = None


class Reminders:
    """Calls back after `seconds`, in the order in which it was asked to; most are cancelled before."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._queue: deque[Reminder] = deque()
        self._armed = False

    def remind(self, call: Callable[[], None]) -> Reminder:
        """Have `call` called, which must not raise."""
        loop = asyncio.get_running_loop()
        reminder = Reminder(loop.time() + self._seconds, call)
        self._queue.append(reminder)
        if not self._armed:
            self._armed = True
            loop.call_at(reminder.at, self._due, loop)
        return reminder

    def _due(self, loop: asyncio.AbstractEventLoop) -> None:
        queue, soon = self._queue, loop.time() + RESOLUTION
        while queue and (queue[0].call is None or queue[0].at <= soon):
            reminder = queue.popleft()
            if reminder.call is not None:
                reminder.call()
        self._armed = bool(queue)
        if queue:
            loop.call_at(queue[0].at, self._due, loop)
