"""What a claim is undone by, and the quarantine: the same on every engine."""

from __future__ import annotations

import asyncio

import pytest

from dtm.core.model import Status
from dtm.core.store.base import QUARANTINE, TAG_BITS, Filter
from tests.store.store_values import free, owned, parked

LEASE = 15.0


async def claimed(store, owner="me"):
    """What one claim brings, by gid."""
    return {claim.tx.gid: claim for claim in await store.claim_due(owner, 100, LEASE)}


@pytest.mark.gen_test
@pytest.mark.parametrize("doubt", [False, True])
async def test_a_claim_given_back_is_as_if_it_had_not_been(store, doubt):
    before = await store.insert(free(store, "g", -1, doubt=doubt))
    claim = (await claimed(store))["g"]
    due = store.now() + 5000
    assert await store.give_back(claim, due)
    row = await store.load("g")
    assert (row.owner, row.due_at, row.doubt) == ("", due, doubt)
    assert (row.body, row.branches, row.options) == (before.body, before.branches, before.options)
    assert row.version >> TAG_BITS == (before.version >> TAG_BITS) + 1
    assert not await claimed(store)


@pytest.mark.gen_test
async def test_only_what_is_still_ours_is_given_back(store):
    await store.insert(free(store, "g", -1))
    claim = (await claimed(store, "me"))["g"]
    store.clock_offset = LEASE + 1
    await claimed(store, "another")
    assert not await store.give_back(claim, QUARANTINE)
    assert (await store.load("g")).owner == "another"


@pytest.mark.gen_test
async def test_nobody_claims_what_is_in_quarantine_until_it_is_released(store):
    for gid in ("a", "b", "c"):
        await store.insert(free(store, gid, -1))
    claims = await claimed(store)
    await asyncio.gather(*(store.give_back(claims[gid], QUARANTINE) for gid in ("a", "b")))
    assert (await store.backlog()).quarantined == 2
    store.clock_offset = 365 * 86400.0
    assert set(await claimed(store, "next year")) == {"c"}
    assert [await store.release(gid) for gid in ("a", "a", "c", "nobody", "A", "a ")] == [1, 0, 0, 0, 0, 0]
    assert set(await claimed(store, "again")) == {"a"}
    assert await store.release() == 1
    assert set(await claimed(store, "again")) == {"b"}
    assert (await store.backlog()).quarantined == 0


@pytest.mark.gen_test
async def test_the_list_can_be_of_the_unfinished_alone(store):
    for gid in ("a", "b", "c"):
        tx = await store.insert(owned(store, gid))
        if gid == "b":
            await store.save(parked(tx, status=Status.FAILED, finished_at=store.now()))
    page, cursor = await store.scan(Filter(unfinished=True), "", 1)
    assert [tx.gid for tx in page] == ["c"]
    page, cursor = await store.scan(Filter(unfinished=True), cursor, 1)
    assert ([tx.gid for tx in page], cursor) == (["a"], "")
