"""A store that refuses: what the log says of it, once when it begins and once when it is over."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.inside import Inside
from tests.support.participants import Participants

AGAIN = "store: it answers again"
LOCKED = "store: somebody else has locked the database: database is locked"
REMOVED = "store: the store takes no writes: its file was removed or replaced; put it back and restart"


def said(caplog: pytest.LogCaptureFixture, room: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == f"dtm.core.{room}"]


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)


async def test_what_the_scheduler_meets_is_told_once(io_loop, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dtm.core.scheduler")
    inside = Inside(tmp_path, poll_interval=0.01, db_timeout=1)
    await inside.start()
    inside.app.scheduler.start()
    try:
        with closing(sqlite3.connect(tmp_path / "dtm.db", isolation_level=None)) as stranger:
            for time in (1, 2):
                stranger.execute("BEGIN IMMEDIATE")
                await asyncio.sleep(2)  # some polls
                stranger.execute("ROLLBACK")
                await until(lambda time=time: AGAIN in said(caplog, "scheduler")[2 * time - 1 :])
        told = said(caplog, "scheduler")
        assert {LOCKED, AGAIN} <= set(told)
        assert all(text != after for text, after in pairwise(told))
    finally:
        await inside.stop()


async def test_a_file_that_was_removed_is_told_once_by_all_who_meet_it(
    io_loop, tmp_path: Path, participants: Participants, caplog: pytest.LogCaptureFixture
) -> None:
    inside = Inside(tmp_path, lease=1, poll_interval=0.01)
    await inside.start()
    inside.app.scheduler.start()
    participants.delay("a", 0.3)
    try:
        body = {"gid": "g", "trans_type": "saga", "steps": [{"action": participants.url("a")}], "payloads": ["{}"]}
        await inside.post("submit", body)
        await until(lambda: participants.calls)
        (tmp_path / "dtm.db").unlink()
        await inside.idle()  # when its lease is over
        assert said(caplog, "custody") == [f"{REMOVED}: gid=g"]
        told = said(caplog, "scheduler")
        assert told in ([REMOVED], [REMOVED] * 2)  # by who claims, and who renews
    finally:
        await inside.stop()
