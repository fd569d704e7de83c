"""How long a connection, a client's or a participant's, may take for what comes next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadline:
    """A moment that is put off again and again; if it passes all the same, `passed` is called.

    One timer does for many moments: it looks at the latest of them when it fires.
    """

    __slots__ = ("_at", "_ended", "_fires", "_loop", "_passed", "_timer")

    def __init__(self, passed: Callable[[], object]) -> None:
        self._passed = passed
        self._loop = asyncio.get_running_loop()
        self._at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fires = 0.0
        self._ended = False

    def put(self, seconds: float) -> None:
        """It is so many seconds from now."""
        self._at = at = self._loop.time() + seconds
        if self._timer is None or at < self._fires:
            self._set_timer(at)

    def lift(self) -> None:
        """There is none at present."""
        self._at = None

    def end(self) -> None:
        """There will be none any more, whoever puts it off yet."""
        self._at = None
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, at: float) -> None:
        if self._ended:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._fires = at
        self._timer = self._loop.call_at(at, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._at is None:
            return
        if self._at <= self._loop.time():
            self._passed()
        else:
            self._set_timer(self._at)
