"""Clocks: one for intervals on this machine, one for the date. Injected everywhere, so that tests own the time."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod


class Clock(ABC):
    """Two readings of time; nothing else in the core asks the operating system."""

    @abstractmethod
    def boot(self) -> float:
        """Seconds on a clock that never steps and counts suspension; for leases and time-outs."""

    @abstractmethod
    def wall(self) -> int:
        """UTC milliseconds; may step. Only an embedded store, which is its own database, reads it."""


class SystemClock(Clock):
    """The machine's own clocks."""

    def boot(self) -> float:
        """CLOCK_BOOTTIME: a lease must not seem valid after the laptop slept."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> int:
        """UTC milliseconds."""
        return time.time_ns() // 1_000_000
