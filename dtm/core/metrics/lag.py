"""How late the event loop is: what a timer of ours had to wait beyond its time."""

from __future__ import annotations

import asyncio

from dtm.core.tally import Histogram

EVERY = 0.25
"""Seconds between two looks."""


class LoopLag:
    """Looks while it is started."""

    def __init__(self) -> None:
        self.seconds = Histogram(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
        """By how much it was late."""
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look, on the running loop."""
        self._wait(asyncio.get_running_loop())

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(EVERY, self._look, loop, loop.time() + EVERY)

    def _look(self, loop: asyncio.AbstractEventLoop, meant: float) -> None:
        self.seconds.add(max(loop.time() - meant, 0))
        self._wait(loop)
