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
        self._armed: asyncio.AbstractEventLoop | None = None
        """The event loop while it has a timer of ours."""

    def remind(self, call: Callable[[], None]) -> Reminder:
        """Have `call` called, which must not raise."""
        loop = self._armed or asyncio.get_running_loop()
        reminder = Reminder(loop.time() + self._seconds, call)
        self._queue.append(reminder)
        if self._armed is None:
            self._arm(loop, reminder.at)
        return reminder

    def _arm(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        self._armed = loop
        loop.call_at(at, self._due, loop)

    def _due(self, loop: asyncio.AbstractEventLoop) -> None:
        queue, soon = self._queue, loop.time() + RESOLUTION
        while queue and (queue[0].call is None or queue[0].at <= soon):
            reminder = queue.popleft()
            if reminder.call is not None:
                reminder.call()
        self._armed = None
        if queue:
            self._arm(loop, queue[0].at)
