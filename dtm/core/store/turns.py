"""How long a batch of a group may grow: as long as turns of the event loop bring something more. There is no timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

TURNS = 32
"""Turns of the event loop for which a batch may grow: one that brings nothing takes some microseconds, a statement some
hundred.
"""

IDLE_TURNS = 8
"""Turns that have brought nothing after which a batch leaves that is smaller than the last one, where there is one
lane: what misses it waits until it has landed. With more lanes the next one takes it.
"""


def idle_turns(lanes: int) -> int:
    """Turns that have brought nothing after which a batch leaves that is smaller than the last one."""
    return IDLE_TURNS if lanes == 1 else 1


async def grown(queued: Callable[[], int], usual: int, idle: int) -> None:
    """Return when what is queued may leave: nothing, or as many as `usual` and nothing more in a turn, or in `idle`."""
    seen = quiet = 0
    for _ in range(TURNS):
        number = queued()
        quiet = quiet + 1 if number == seen else 0
        if not number or quiet == idle or (quiet and number >= usual):
            return
        seen = number
        await asyncio.sleep(0)
