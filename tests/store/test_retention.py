"""Retention on every engine: what is old and ended goes, nothing else does, and one node does it at a time."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from store_values import make_tx

from dtm.core.app import App
from dtm.core.config import Settings
from dtm.core.errors import StoreUnavailable
from dtm.core.model import Status
from dtm.core.store.memory import MemoryDatabase, MemoryStore
from tests.support.inside import Inside

DAY = 86_400_000


def node(store, days=1.0):
    """A node with retention on this store, which is open already."""
    return App(Settings(store="memory://", port=0, retention_finished_days=days), store=store)


async def ended(store, *gids, days_ago=2.0, **changes):
    """Transactions that ended so many days ago."""
    at = store.now() - round(days_ago * DAY)
    rows = (make_tx(gid, Status.SUCCEED, created_at=at, finished_at=at, due_at=None) for gid in gids)
    return await asyncio.gather(*(store.insert(replace(tx, **changes)) for tx in rows))


async def lease_of(store):
    entry = await store.kv_get("dtm", "retention")
    return entry and json.loads(entry.value)


async def leased_to(store, owner, seconds):
    value = json.dumps({"owner": owner, "until": store.now() + round(seconds * 1000)})
    entry = await store.kv_get("dtm", "retention")
    assert await store.kv_put("dtm", "retention", value, entry.version if entry else 0)


@pytest.mark.gen_test
async def test_what_ended_long_ago_goes_and_nothing_else(store, monkeypatch):
    monkeypatch.setattr("dtm.core.retention.CHUNK", 2)
    await ended(store, "a", "b", "c")
    await ended(store, "failed", status=Status.FAILED)
    await ended(store, "yesterday", days_ago=0.9)
    for status in (Status.PREPARED, Status.SUBMITTED, Status.ABORTING):
        await ended(store, status.value, days_ago=4000, status=status, finished_at=None)
    assert await node(store).retention.purge_once() == 4
    for gid in ("a", "b", "c", "failed"):
        assert await store.load(gid) is None
    for gid in ("yesterday", "prepared", "submitted", "aborting"):
        assert await store.load(gid)
    assert await node(store, days=0.5).retention.purge_once() == 1
    assert await node(store, days=0.5).retention.purge_once() == 0


@pytest.mark.gen_test
async def test_the_lease_is_given_up_and_respected(store):
    await ended(store, "a")
    await leased_to(store, "another", 1000)
    mine = node(store)
    assert await mine.retention.purge_once() == 0
    assert (await lease_of(store))["owner"] == "another"
    await leased_to(store, "another", -0.001)  # it has died
    assert await mine.retention.purge_once() == 1
    lease = await lease_of(store)
    assert lease["owner"] == mine.node.name
    assert lease["until"] <= store.now()


@pytest.mark.gen_test
async def test_a_lost_lease_ends_the_round(store, monkeypatch):
    """It is looked after before each chunk: here it is never long enough, and after the first chunk somebody has it."""
    monkeypatch.setattr("dtm.core.retention.CHUNK", 1)
    monkeypatch.setattr("dtm.core.retention.LEASE", 0.0)
    await ended(store, "a", "b", "c")
    mine = node(store)
    purge = store.purge_finished

    async def purged(before, limit):
        number = await purge(before, limit)
        await leased_to(store, "another", 1000)
        return number

    monkeypatch.setattr(store, "purge_finished", purged)
    monkeypatch.setattr(mine.node.clock, "boot", iter(range(100)).__next__)
    assert await mine.retention.purge_once() == 1
    assert (await lease_of(store))["owner"] == "another"


@pytest.fixture(params=["memory", "mysql"])
def stores(request, io_loop):
    """Two open stores on one database."""
    if request.param == "mysql":
        return [request.getfixturevalue("mysql_store"), io_loop.run_sync(request.getfixturevalue("another"))]
    database = MemoryDatabase()
    stores = [MemoryStore(database), MemoryStore(database)]
    for store in stores:
        io_loop.run_sync(store.open)
    return stores


@pytest.mark.gen_test(timeout=30)
async def test_of_two_nodes_one_purges(stores, monkeypatch):
    monkeypatch.setattr("dtm.core.retention.CHUNK", 7)
    await ended(stores[0], *(f"g{i}" for i in range(100)))
    inside, most = 0, 0

    def watched(purge):
        async def purge_finished(before, limit):
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            try:
                return await purge(before, limit)
            finally:
                inside -= 1

        return purge_finished

    for store in stores:
        monkeypatch.setattr(store, "purge_finished", watched(store.purge_finished))
    purged = await asyncio.gather(*(node(stores[i % 2]).retention.purge_once() for i in range(6)))
    assert sorted(purged) == [0, 0, 0, 0, 0, 100]
    assert most == 1


@pytest.mark.gen_test(timeout=30)
async def test_the_loop_runs_in_an_app_outlives_trouble_and_ends_with_it(monkeypatch):
    monkeypatch.setattr("dtm.core.retention.PACE", 0.01)
    monkeypatch.setattr("dtm.core.retention.CHUNK", 3)
    store, troubles = MemoryStore(), [StoreUnavailable("gone"), ValueError("a fault of ours")]
    app = node(store)
    purge = store.purge_finished

    async def purge_finished(before, limit):
        if troubles:
            raise troubles.pop()
        return await purge(before, limit)

    monkeypatch.setattr(store, "purge_finished", purge_finished)
    await app.start(serve=False)
    await ended(store, *(f"g{i}" for i in range(10)))
    while store.database.rows:
        await asyncio.sleep(0.01)
    monkeypatch.setattr("dtm.core.retention.PAUSE", 1000)
    await ended(store, *(f"h{i}" for i in range(10)))
    while len(store.database.rows) == 10:
        await asyncio.sleep(0.01)
    await app.stop()  # while it rests between two chunks
    assert len(store.database.rows) == 7
    lease = json.loads(store.database.kv["dtm", "retention"].value)
    assert lease["until"] <= store.now()


@pytest.mark.gen_test
async def test_a_gid_that_was_purged_starts_from_nothing(tmp_path):
    inside = Inside(tmp_path, retention_finished_days=1.0)
    await inside.start()
    nobody = "http://127.0.0.1:9/nobody"

    def saga(steps):
        return {
            "gid": "again",
            "trans_type": "saga",
            "steps": [{"action": nobody, "compensate": nobody}] * steps,
            "payloads": ["{}"] * steps,
        }

    assert (await inside.submit(saga(3)))[0] == 200
    assert (await inside.post("forceStop", {"gid": "again"}))[0] == 200
    assert (await inside.submit(saga(1)))[0] == 409
    inside.app.store.clock_offset = 2 * 86_400
    assert await inside.app.retention.purge_once() == 1
    assert await inside.status("again") is None
    assert (await inside.submit(saga(1)))[0] == 200
    stored = await inside.app.store.load("again")
    assert (stored.status, len(stored.branches), stored.reason) == (Status.SUBMITTED, 2, "")
    await inside.stop()


@pytest.mark.gen_test
async def test_without_the_setting_nothing_is_deleted(store):
    assert App(Settings(store="memory://"), store=store).retention is None
