"""Clocks: one for intervals on this machine, one for the date. Injected everywhere, so that tests own the time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from time import CLOCK_BOOTTIME, clock_gettime, time_ns


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
        return clock_gettime(CLOCK_BOOTTIME)

    def wall(self) -> int:
        """UTC milliseconds."""
        return time_ns() // 1_000_000
