"""The store's contract, method by method, against every engine: claims, leases, lists, key-value area."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from store_values import LEASE, finished, free, make_tx, owned, parked

from dtm.core.errors import InvalidRequest, StaleVersion
from dtm.core.model import Status
from dtm.core.store.base import TAG_BITS, Filter, Save
from dtm.core.store.survey import Backlog, Unfinished


async def gids_claimed(store, owner="node-b", limit=100, ahead=0.0):
    return [claim.tx.gid for claim in await store.claim_due(owner, limit, LEASE, ahead)]


@pytest.mark.gen_test
async def test_claims_come_oldest_due_first_and_no_more_than_asked(store):
    for gid, due_in in (("b", -2), ("d", 10), ("a", -3), ("c", -1)):
        await store.insert(free(store, gid, due_in))
    await store.insert(make_tx("never"))
    assert await gids_claimed(store, limit=0) == []
    assert await gids_claimed(store, limit=2) == ["a", "b"]
    assert await gids_claimed(store, limit=2) == ["c"]
    assert await gids_claimed(store) == []
    assert await gids_claimed(store, ahead=11) == ["d"]


@pytest.mark.gen_test
async def test_a_claim_takes_the_row_over(store):
    tx = await store.insert(free(store, "g1", -5))
    before = store.now()
    (claim,) = await store.claim_due("node-b", 10, LEASE)
    assert (claim.found_doubt, claim.found_due) == (False, tx.due_at)
    assert before + LEASE * 1000 <= claim.tx.due_at <= store.now() + LEASE * 1000
    assert claim.tx.version >> TAG_BITS == (tx.version >> TAG_BITS) + 1
    assert claim.tx == replace(tx, owner="node-b", doubt=True, due_at=claim.tx.due_at, version=claim.tx.version)
    assert await store.load("g1") == claim.tx
    with pytest.raises(StaleVersion):
        await store.save(Save(tx, tx.version))


@pytest.mark.gen_test
async def test_a_lease_that_ran_out_is_claimed_and_its_doubt_told(store):
    tx = await store.insert(owned(store, "g1", owner="node-a"))
    assert await gids_claimed(store) == []
    store.clock_offset += LEASE + 1
    (claim,) = await store.claim_due("node-b", 10, LEASE)
    assert (claim.found_doubt, claim.found_due, claim.tx.owner) == (True, tx.due_at, "node-b")


@pytest.mark.parametrize("found", [False, True])
@pytest.mark.parametrize("status", list(Status))
@pytest.mark.gen_test
async def test_a_claim_sets_doubt_but_not_where_nothing_goes_forward(store, status, found):
    await store.insert(free(store, "g1", status=status, doubt=found))
    (claim,) = await store.claim_due("node-b", 10, LEASE)
    forward = status in (Status.PREPARED, Status.SUBMITTED)
    assert claim.found_doubt is found
    assert claim.tx.doubt is (True if forward else found)
    assert (await store.load("g1")).doubt is claim.tx.doubt


@pytest.mark.gen_test
async def test_no_row_is_claimed_twice(store):
    await asyncio.gather(*(store.insert(free(store, f"g{i}", -1)) for i in range(60)))
    claims = await asyncio.gather(*(store.claim_due(f"node-{i}", 7, LEASE) for i in range(12)))
    taken = [(claim.tx.gid, f"node-{i}") for i, some in enumerate(claims) for claim in some]
    assert len(taken) == 60
    assert dict(taken) == {gid: (await store.load(gid)).owner for gid, _ in taken}


@pytest.mark.gen_test
async def test_renew_lengthens_but_never_shortens_and_is_fenced(store):
    mine = await store.insert(owned(store, "mine"))
    other = await store.insert(owned(store, "other", owner="node-b"))
    held = {mine.id: "node-a", other.id: "node-a", 999: "node-a"}
    assert await store.renew(held, 60.0) == {mine.id}
    renewed = await store.load("mine")
    assert renewed.due_at > mine.due_at
    assert renewed == replace(mine, due_at=renewed.due_at)
    assert await store.load("other") == other
    assert await store.renew(held, 1.0) == {mine.id}
    assert await store.load("mine") == renewed
    assert await store.renew({}, 1.0) == set()


@pytest.mark.gen_test
async def test_owned_versions(store):
    mine = await store.insert(owned(store, "mine"))
    other = await store.insert(owned(store, "other", owner="node-b"))
    held = {mine.id: "node-a", other.id: "node-a", 999: "node-a"}
    assert await store.owned_versions(held) == {mine.id: mine.version}
    version = await store.save(Save(mine, mine.version))
    assert await store.owned_versions(held) == {mine.id: version}
    await store.save(parked(replace(mine, version=version)))
    assert await store.owned_versions(held) == {}


@pytest.mark.gen_test
async def test_make_due_touches_free_unfinished_rows_only(store):
    for gid, due_in in (("soon", 50), ("late", 200), ("later", 300), ("latest", 400)):
        await store.insert(free(store, gid, due_in))
    await store.insert(owned(store, "held", due_at=store.now() + 500_000))
    await store.insert(free(store, "over", 500, status=Status.FAILED))
    await store.insert(make_tx("never"))
    assert await gids_claimed(store) == []
    assert await store.make_due(100.0, 2) == 2
    assert await gids_claimed(store) == ["late", "later"]
    assert await store.make_due(100.0, 10) == 1
    assert await gids_claimed(store) == ["latest"]
    assert await store.make_due(100.0, 10) == 0


@pytest.mark.gen_test
async def test_scan_shows_pages_newest_first(store):
    rows = [await store.insert(free(store, f"g{i}")) for i in range(7)]
    newest = [tx.gid for tx in reversed(rows)]
    first, cursor = await store.scan(Filter(), "", 3)
    assert first == list(reversed(rows))[:3]
    await store.insert(free(store, "newer"))
    second, cursor = await store.scan(Filter(), cursor, 3)
    third, end = await store.scan(Filter(), cursor, 3)
    assert [tx.gid for tx in (*first, *second, *third)] == newest
    assert end == ""
    everything, end = await store.scan(Filter(), "", 8)
    assert (len(everything), end) == (8, "")


@pytest.mark.gen_test
async def test_scan_filters(store):
    kinds = {"a": (Status.SUBMITTED, "x", 100), "b": (Status.SUBMITTED, "y", 200), "c": (Status.SUCCEED, "x", 300)}
    for gid, (status, trans_type, created_at) in kinds.items():
        await store.insert(make_tx(gid, status, trans_type=trans_type, created_at=created_at))

    async def found(**wanted):
        page, cursor = await store.scan(Filter(**wanted), "", 10)
        assert cursor == ""
        return "".join(tx.gid for tx in page)

    assert await found() == "cba"
    assert await found(status="submitted") == "ba"
    assert await found(status="succeed") == "c"
    assert await found(status="failed") == ""
    assert await found(status="nonsense") == ""
    assert await found(trans_type="x") == "ca"
    assert await found(created_from=200) == "cb"
    assert await found(created_to=200) == "ba"
    assert await found(created_from=200, created_to=200) == "b"
    assert await found(status="submitted", trans_type="x", created_to=100) == "a"


@pytest.mark.parametrize("cursor", ["zz", "0", "nonsense", "5b5d", "22ff", "5b2278225d", "\x00", "é"])
@pytest.mark.gen_test
async def test_a_strange_cursor_is_refused(store, cursor):
    with pytest.raises(InvalidRequest):
        await store.scan(Filter(), cursor, 10)
    with pytest.raises(InvalidRequest):
        await store.kv_scan("", cursor, 10)


@pytest.mark.gen_test
async def test_the_backlog_is_of_the_unfinished(store):
    assert await store.backlog() == Backlog({}, 0, None)
    assert await store.unfinished_versions() == set()
    for number, status in enumerate(Status):
        for i in range(number + 1):
            tx = make_tx(f"{status}-{i}", status, trans_type="x", created_at=100 * number + i)
            await store.insert(replace(tx, finished_at=1000 if status.final else None))
    await store.insert(make_tx("other", trans_type="y", protocol_version="2", created_at=77))
    await store.insert(make_tx("ended", Status.FAILED, trans_type="z", finished_at=1000))
    assert await store.backlog() == Backlog(
        {
            ("x", Status.PREPARED): Unfinished(1, 0),
            ("x", Status.SUBMITTED): Unfinished(2, 100),
            ("x", Status.ABORTING): Unfinished(3, 200),
            ("y", Status.SUBMITTED): Unfinished(1, 77),
        },
        0,
        None,
    )
    assert await store.unfinished_versions() == {("x", "1"), ("y", "2")}


@pytest.mark.gen_test
async def test_the_backlog_tells_how_many_are_due_and_since_when(store):
    await store.insert(owned(store, "leased"))
    await store.insert(free(store, "later", 100))
    assert (await store.backlog()).due == 0
    for seconds in (-1, -30, -2):
        oldest = await store.insert(free(store, f"due {seconds}", seconds))
        if seconds == -30:
            since = oldest.due_at
    found = await store.backlog()
    assert (found.due, found.due_since) == (3, since)


@pytest.mark.gen_test
async def test_purge_deletes_what_ended_before(store):
    for gid, ended in (("a", 100), ("b", 200), ("c", 300)):
        tx = await store.insert(owned(store, gid))
        await store.save(finished(tx, ended))
    await store.insert(owned(store, "running"))
    assert await store.count_finished(300) == 2
    assert await store.purge_finished(300, 1) == 1
    assert await store.load("a") is None
    assert await store.purge_finished(300, 10) == 1
    assert await store.purge_finished(300, 10) == await store.count_finished(300) == 0
    page, _ = await store.scan(Filter(), "", 10)
    assert [tx.gid for tx in page] == ["running", "c"]
    again = await store.insert(owned(store, "a"))
    assert await store.load("a") == again


@pytest.mark.gen_test
async def test_kv_is_written_by_compare_and_set(store):
    before = store.now()
    assert await store.kv_get("topics", "t") is None
    assert await store.kv_put("topics", "t", "one", 1) is False
    assert await store.kv_put("topics", "t", "one", 0) is True
    assert await store.kv_put("topics", "t", "two", 0) is False
    assert await store.kv_put("topics", "t", "two", 1) is True
    assert await store.kv_put("topics", "t", "three", 1) is False
    entry = await store.kv_get("topics", "t")
    assert (entry.cat, entry.key, entry.value, entry.version) == ("topics", "t", "two", 2)
    assert before <= entry.created_at <= entry.updated_at <= store.now()
    assert await store.kv_get("topics", "T") is None
    assert await store.kv_get("other", "t") is None
    assert await store.kv_delete("topics", "t") is True
    assert await store.kv_delete("topics", "t") is False
    assert await store.kv_put("topics", "t", "four", 0) is True
    assert (await store.kv_get("topics", "t")).version == 1


@pytest.mark.gen_test
async def test_one_of_many_racing_kv_writers_wins(store):
    results = await asyncio.gather(*(store.kv_put("c", "k", f"v{i}", 0) for i in range(20)))
    assert sum(results) == 1
    assert (await store.kv_get("c", "k")).value == f"v{results.index(True)}"


@pytest.mark.gen_test
async def test_kv_scan_pages(store):
    for cat, key in (("b", "1"), ("a", "2"), ("a", "é"), ("a", "1"), ("a", "Z")):
        assert await store.kv_put(cat, key, "v", 0)

    async def pages(cat, limit):
        seen, cursor = [], ""
        while True:
            page, cursor = await store.kv_scan(cat, cursor, limit)
            assert 0 < len(page) <= limit
            seen += [(entry.cat, entry.key) for entry in page]
            if not cursor:
                return seen

    ordered = [("a", "1"), ("a", "2"), ("a", "Z"), ("a", "é"), ("b", "1")]
    for limit in (1, 2, 4, 5, 9):
        assert await pages("", limit) == ordered
        assert await pages("a", limit) == ordered[:4]
    assert await store.kv_scan("nobody", "", 3) == ([], "")
