"""Many timers of one length: on a virtual loop, so that each comes exactly when it is due."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from dtm.core.bell import Bell
from dtm.core.reminders import Reminders
from dtm.testing.loop import VirtualLoop, run


def timed(story: Callable[[Callable[[str], None]], Awaitable[None]]) -> list[tuple[str, float]]:
    """What was told, and at which tenth of a second."""
    loop, told = VirtualLoop(), []

    async def main() -> None:
        await story(lambda what: told.append((what, round(loop.time(), 1))))

    run(main(), loop)
    return told


def test_reminders_come_in_time_each_and_not_when_cancelled() -> None:
    async def story(tell: Callable[[str], None]) -> None:
        reminders = Reminders(1)
        reminders.remind(lambda: tell("first"))
        await asyncio.sleep(0.5)
        unwanted = reminders.remind(lambda: tell("unwanted"))
        reminders.remind(lambda: tell("second"))
        unwanted.cancel()
        await asyncio.sleep(2)
        reminders.remind(lambda: tell("third"))
        await asyncio.sleep(2)

    assert timed(story) == [("first", 1.0), ("second", 1.5), ("third", 3.5)]


def test_a_reminder_may_ask_for_another() -> None:
    async def story(tell: Callable[[str], None]) -> None:
        reminders = Reminders(1)

        def again() -> None:
            tell("again")
            reminders.remind(lambda: tell("and again"))

        reminders.remind(again)
        await asyncio.sleep(3)

    assert timed(story) == [("again", 1.0), ("and again", 2.0)]


def test_a_bell_wakes_who_waits_and_is_heard_by_nobody_else() -> None:
    async def story(tell: Callable[[str], None]) -> None:
        loop = asyncio.get_running_loop()
        bell = Bell(loop)
        bell.ring()
        loop.call_later(1, bell.ring)
        loop.call_later(1, bell.ring)
        await bell.wait()
        tell("rung")
        await bell.wait(within=0.5)
        tell("tired of waiting")

    assert timed(story) == [("rung", 1.0), ("tired of waiting", 1.5)]
