"""The figures that tell of trouble: each rises when that trouble is there, and by as much."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from dtm.core.errors import OutcomeUnknown, StaleVersion
from dtm.core.store.base import Hold, Save
from tests.store.store_values import make_tx
from tests.support.coordinator import Coordinator
from tests.support.figures import Figures, scrape
from tests.support.inside import Inside
from tests.support.participants import ERROR, Participants


async def figures_of(inside: Inside) -> Figures:
    return Figures((await inside.app.metrics.scrape()).decode())


def saga(participants: Participants, gid: str, name: str = "do") -> dict:
    steps = [{"action": participants.url(name), "compensate": ""}]
    return {"gid": gid, "trans_type": "saga", "steps": steps, "payloads": ["1"]}


async def test_a_branch_that_keeps_failing(inside: Inside, participants: Participants) -> None:
    participants.answer("do", *[ERROR] * 5)
    await inside.submit(saga(participants, "g"))
    for _ in range(3):
        await inside.tick(sel=1000)
    figures = await figures_of(inside)
    assert figures.value("dtm_branch_failing_total", model="saga", op="action") == 2  # the third and the fourth
    assert figures.value("dtm_calls_landed_total", outcome="error") == 4
    assert figures.value("dtm_unfinished", model="saga", status="submitted") == 1
    assert figures.value("dtm_claims_total") == 3
    assert figures.value("dtm_passes_total") == 4
    status, page = await inside.get("all", attention=1)
    assert (status, [each["gid"] for each in page["transactions"]]) == (200, ["g"])
    for _ in range(3):
        await inside.tick(sel=1000)
    assert await inside.status("g") == "succeed"
    assert (await inside.get("all", attention=1))[1]["transactions"] == []


async def test_what_waits(inside: Inside, participants: Participants) -> None:
    participants.answer("do", ERROR)
    await inside.submit(saga(participants, "g"))
    inside.app.store.clock_offset = 1000
    figures = await figures_of(inside)
    assert figures.value("dtm_due") == 1
    assert 900 < figures.value("dtm_overdue_seconds") < 1000 < figures.value("dtm_oldest_unfinished_seconds")
    inside.app.store.clock_offset = 0
    assert (await figures_of(inside)).value("dtm_overdue_seconds") == 0


async def test_a_lost_lease_and_a_lost_save(inside: Inside, participants: Participants) -> None:
    participants.delay("do", 0.5)
    await inside.post("submit", saga(participants, "g"))
    store = inside.app.store
    while not participants.calls:
        await asyncio.sleep(0.01)
    tx = await store.load("g")
    await store.save(Save(tx, tx.version, hold=Hold("thief", store.now() + 60_000)))
    with pytest.raises(StaleVersion):
        await store.save(Save(tx, tx.version))
    await inside.idle()
    figures = await figures_of(inside)
    assert figures.value("dtm_stale_epoch_total") == 1
    assert figures.value("dtm_lost_saves_total") == 2  # the pass's, and ours
    assert figures.value("dtm_calls_in_flight") == 0


async def test_a_database_that_has_lost_a_commit(inside: Inside, participants: Participants, tmp_path: Path) -> None:
    participants.delay("do", 0.5)
    await inside.post("submit", saga(participants, "g"))
    while not participants.calls:
        await asyncio.sleep(0.01)
    with sqlite3.connect(tmp_path / "dtm.db", timeout=10) as db:
        db.execute("UPDATE dtm_transaction SET version = 0")
    db.close()
    await inside.idle()
    figures = await figures_of(inside)
    assert figures.value("dtm_lost_commits_total") == 1
    status, page = await inside.get("all", attention=1)
    assert (status, ["lost commits" in each["trouble"] for each in page["transactions"]]) == (200, [True])


async def test_a_row_taken_over_in_doubt(inside: Inside, participants: Participants) -> None:
    participants.answer("do", ERROR)
    await inside.submit(saga(participants, "g"))
    tx = await inside.app.store.load("g")
    await inside.app.store.save(Save(tx, tx.version, doubt=True))
    await inside.tick(sel=1000)
    assert (await figures_of(inside)).value("dtm_recovered_total") == 1


async def test_nobody_listens(inside: Inside) -> None:
    steps = [{"action": "http://127.0.0.1:1/", "compensate": ""}]
    await inside.submit({"gid": "g", "trans_type": "saga", "steps": steps, "payloads": ["1"]})
    figures = await figures_of(inside)
    assert figures.value("dtm_calls_landed_total", outcome="unsent") == 1
    assert figures.value("dtm_calls_sent_total") == figures.value("dtm_calls_landed_total", outcome="error") == 0


async def test_a_host_without_free_slots(tmp_path: Path, participants: Participants) -> None:
    inside = Inside(tmp_path, calls_per_host=1, retry_interval=0.1, retry_interval_max=0.5)
    await inside.start()
    participants.delay("do", 0.6)
    for number in range(3):
        await inside.post("submit", saga(participants, f"g{number}"))
    while (figures := await figures_of(inside)).value("dtm_slot_misses_total") < 2:
        await asyncio.sleep(0.02)
    assert figures.value("dtm_slot_waits_total") == 2
    await inside.stop()


async def test_a_write_whose_fate_is_unknown(inside: Inside, participants: Participants) -> None:
    """The file is there, and its disk is not: a full one, as SQLite sees it."""
    store = inside.app.store
    await store._write_thread.submit(store._writer._db.execute, "PRAGMA max_page_count = 1").answer
    with pytest.raises(OutcomeUnknown):
        await store.insert(make_tx("big", custom_data="x" * 1_000_000))
    figures = await figures_of(inside)
    assert figures.value("dtm_commits_unknown_total", queue="all") == 1
    assert figures.value("dtm_store_writable") == 0
    assert "dtm_due" not in figures.families


def test_tokens_and_a_real_process(tmp_path: Path) -> None:
    tokens = '{"tokens": [{"token": "t", "role": "client"}]}'
    with Coordinator(tmp_path, DTM_AUTH=tokens) as coordinator:
        assert coordinator.client.request("GET", "/api/metrics")[0] == 401
        figures = Figures(scrape(coordinator.url, "t"))
    assert figures.value("process_resident_memory_bytes") > 1_000_000
    assert figures.value("dtm_event_loop_lag_seconds_bucket", le="+Inf") >= 0
    with sqlite3.connect(tmp_path / "dtm.db") as db:
        assert db.execute("SELECT count(*) FROM dtm_transaction").fetchone() == (0,)
    db.close()
