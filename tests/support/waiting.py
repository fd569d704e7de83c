"""Waiting for something that will be true soon, in tests that have no loop."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(true: Callable[[], bool], within: float = 10) -> None:
    """Return once it is; fail after so many seconds."""
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)
