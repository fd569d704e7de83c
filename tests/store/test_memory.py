"""What only the store in memory promises: a database that several nodes share, and the same story every time."""

from __future__ import annotations

import asyncio
import random

import pytest
from store_values import FixedClock, free, owned, run

from dtm.core.errors import StaleVersion
from dtm.core.store.base import Save
from dtm.core.store.memory import MemoryDatabase, MemoryStore


@pytest.mark.gen_test
async def test_nodes_share_a_database_and_outlive_one_another():
    database = MemoryDatabase()
    one, two = MemoryStore(database), MemoryStore(database)
    await one.open()
    await two.open()
    tx = await one.insert(owned(one, "g1", owner="one"))
    assert await two.load("g1") == tx
    assert await two.insert(owned(two, "g1", owner="two")) is None
    await two.save(Save(tx, tx.version))
    with pytest.raises(StaleVersion):
        await one.save(Save(tx, tx.version))
    await one.close()
    two.clock_offset = 60.0
    (claim,) = await two.claim_due("two", 10, 15.0)
    assert (claim.tx.owner, claim.found_doubt) == ("two", True)
    await two.close()


def test_everything_repeats_itself():
    async def story():
        store = MemoryStore(clock=FixedClock(), rng=random.Random(5))
        await store.open()
        rows = await asyncio.gather(*(store.insert(free(store, f"g{i}", -i)) for i in range(20)))
        versions = await asyncio.gather(*(store.save(Save(tx, tx.version)) for tx in rows))
        claims = await store.claim_due("me", 15, 15.0)
        await store.close()
        return rows, versions, claims

    assert run(story()) == run(story())
