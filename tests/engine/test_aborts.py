"""An abort while a pass has calls waiting to begin: what it decided before counts no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from dtm import Status
from dtm.core.model import Transaction
from dtm.core.store.base import Save
from tests.support.inside import Inside
from tests.support.participants import Participants

WRITE_BEHIND = 0.3


def saga(gid: str, *urls: str) -> dict:
    steps = [{"action": url, "compensate": f"{url}-undo"} for url in urls]
    return {"gid": gid, "trans_type": "saga", "steps": steps, "payloads": ["{}"] * len(steps)}


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_slot_that_comes_free_while_an_abort_is_taken_in(
    io_loop, tmp_path: Path, participants: Participants, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row has been read, results are saved before the plan is asked again: no action may begin in between."""
    inside, other = Inside(tmp_path, calls_per_host=1, write_behind=WRITE_BEHIND), Participants()
    await inside.start()
    store = inside.app.store
    load, save = store.load, store.save
    saving = asyncio.Event()

    async def slowly_read(gid: str) -> Transaction | None:
        tx = await load(gid)
        if tx is not None and tx.status is Status.ABORTING:
            await asyncio.sleep(2 * WRITE_BEHIND)
        return tx

    async def slowly_saved(change: Save) -> int:
        if change.tx.gid == "g" and change.tx.status is Status.ABORTING and change.expect == aborted.version:
            saving.set()
            await until(lambda: len(inside.app.passes) == 1)  # the other one has ended, its slot is free
            await asyncio.sleep(0.2)
        return await save(change)

    try:
        participants.delay("slow", 2)
        await inside.post("submit", saga("holds the slot", participants.url("slow")))
        await until(lambda: len(participants.calls) == 1)
        await inside.post("submit", saga("g", other.url("a"), participants.url("b")))
        await until(lambda: inside.app.node.slots.waited == 1)
        monkeypatch.setattr(store, "load", slowly_read)
        await inside.post("abort", {"gid": "g"})
        aborted = await load("g")
        monkeypatch.setattr(store, "save", slowly_saved)
        await asyncio.wait_for(saving.wait(), 10)
        await inside.idle()
        assert await inside.status("g") == "failed"
        assert participants.of("g") == []
        assert other.of("g") == ["action 01 POST a", "compensate 01 POST a-undo"]
    finally:
        await inside.stop()
        other.close()
