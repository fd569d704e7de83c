"""The store's contract, method by method, against every engine: writing one transaction."""

from __future__ import annotations

import asyncio
import random
import tempfile
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_values import FixedClock, free, make_tx, owned, parked, run

from dtm.core.errors import DtmError, InvalidRequest, StaleVersion, StoreUnavailable
from dtm.core.model import Attempt, Branch, BranchStatus, Options, Outcome, Status
from dtm.core.store.base import TAG_BITS, Filter, Hold, IdSource, Save


@pytest.mark.gen_test
async def test_insert_returns_the_row_as_stored(store):
    tx = owned(store, "g1")
    stored = await store.insert(tx)
    assert stored == replace(tx, id=stored.id, version=stored.version, updated_at=tx.created_at)
    assert stored.id > 0
    assert stored.version >> TAG_BITS == 1
    assert await store.load("g1") == stored


@pytest.mark.gen_test
async def test_insert_of_a_known_gid_is_refused_and_changes_nothing(store):
    first = await store.insert(owned(store, "g1"))
    assert await store.insert(make_tx("g1", Status.PREPARED, trans_type="other", branches=())) is None
    assert await store.load("g1") == first


@pytest.mark.gen_test
async def test_load_of_an_unknown_gid(store):
    assert await store.load("nobody") is None
    assert await store.load("\ud800") is None
    assert await store.load("x" * 129) is None


@pytest.mark.gen_test
async def test_concurrent_loads(store):
    names = [f"g{number}" for number in range(120)] + ["nul\0a", "nul\0b", "nul", "\u6c49"]
    stored = {gid: await store.insert(owned(store, gid)) for gid in names}
    asked = [*names, "none", "g7", "g7", "nul\0c"]
    assert await asyncio.gather(*map(store.load, asked)) == [stored.get(gid) for gid in asked]


@pytest.mark.gen_test
async def test_two_rows_have_different_ids_and_later_ones_larger_ids(store):
    ids = [(await store.insert(owned(store, f"g{i}"))).id for i in range(5)]
    assert ids == sorted(set(ids))


@pytest.mark.gen_test
async def test_a_gid_that_no_column_can_hold_is_refused_alone(store):
    gids = ["ok1", "x" * 129, "ok2", "\ud800", "ok3", "é" * 128]
    results = await asyncio.gather(*(store.insert(owned(store, gid)) for gid in gids), return_exceptions=True)
    assert [isinstance(result, InvalidRequest) for result in results] == [False, True, False, True, False, False]
    assert [(await store.load(gid)) is None for gid in gids] == [False, True, False, True, False, False]


def test_an_id_that_is_another_row_s_is_replaced(engine, tmp_path, io_loop):
    store = engine(tmp_path, clock=FixedClock(), rng=random.Random(1))

    async def scenario():
        await store.open()
        first = await store.insert(owned(store, "g1"))
        store._ids = IdSource(random.Random(1))  # as another node's might be: it makes the same ids again
        second = await store.insert(owned(store, "g2"))
        assert second.id != first.id
        assert await store.load("g1") == first
        assert await store.load("g2") == second
        store._ids = IdSource(random.Random(1))
        assert await store.insert(owned(store, "g1")) is None
        await store.close()

    io_loop.run_sync(scenario)


@pytest.mark.gen_test
async def test_save_is_a_compare_and_set(store):
    tx = await store.insert(owned(store, "g1"))
    version = await store.save(Save(replace(tx, status=Status.ABORTING, reason="why"), tx.version))
    assert version >> TAG_BITS == 2
    with pytest.raises(StaleVersion):
        await store.save(Save(replace(tx, status=Status.SUCCEED), tx.version))
    now = await store.load("g1")
    assert (now.status, now.reason, now.version) == (Status.ABORTING, "why", version)
    assert now.updated_at > tx.updated_at
    assert await store.save(Save(now, version)) > version


@pytest.mark.gen_test
async def test_save_of_a_row_that_is_gone(store):
    with pytest.raises(StaleVersion):
        await store.save(Save(owned(store, "nobody", id=17, version=3), 3))


@pytest.mark.gen_test
async def test_save_keeps_what_a_save_never_touches(store):
    tx = await store.insert(owned(store, "g1"))
    strange = replace(tx, gid="g2", trans_type="other", created_at=5, owner="thief", due_at=1, doubt=False)
    version = await store.save(Save(strange, tx.version))
    now = await store.load("g1")
    assert now == replace(tx, version=version, updated_at=now.updated_at)
    assert await store.load("g2") is None


@pytest.mark.gen_test
async def test_save_writes_the_request_only_when_told(store):
    tx = await store.insert(owned(store, "g1"))
    other = replace(
        tx,
        body={"other": "a text of the body"},
        options=Options(retry_limit=3),
        custom_data="other",
        branches=tuple(replace(branch, url="http://other/url", started=1) for branch in tx.branches),
    )
    version = await store.save(Save(other, tx.version))
    now = await store.load("g1")
    assert (now.body, now.options, now.custom_data) == (tx.body, tx.options, tx.custom_data)
    assert now.branches == tuple(replace(branch, started=1) for branch in tx.branches)
    await store.save(Save(other, version, with_request=True))
    now = await store.load("g1")
    assert (now.body, now.options, now.custom_data) == (other.body, other.options, other.custom_data)
    assert now.branches == other.branches


@pytest.mark.gen_test
async def test_appended_branches_keep_their_order(store):
    tx = await store.insert(make_tx("g1", Status.PREPARED, branches=()))
    for number in range(12):
        more = (*tx.branches, Branch(f"{number:02}", "confirm", f"http://bank/{number}", b"x"))
        tx = replace(tx, branches=more)
        tx = replace(tx, version=await store.save(Save(tx, tx.version, with_request=True)))
    assert (await store.load("g1")).branches == tx.branches


@pytest.mark.gen_test
async def test_save_keeps_the_whole_state(store):
    tx = await store.insert(owned(store, "g1"))
    answered = replace(
        tx.branches[0],
        status=BranchStatus.FAILED,
        started=3,
        attempts=2,
        started_at=11,
        ended_at=22,
        error="said no",
        retry_at=33,
        log=(Attempt(11, 4, Outcome.ERROR, "reset"), Attempt(15, 7, Outcome.FAILURE)),
        answered=2,
    )
    changed = replace(
        tx,
        status=Status.FAILED,
        branches=(answered, tx.branches[1]),
        questions=(Branch("00", "ask", "http://app/query", b"\xfe", started=1),),
        reason="a reason",
        result="a result",
        next_at=77,
        trouble="a trouble",
        finished_at=88,
    )
    version = await store.save(Save(changed, tx.version))
    now = await store.load("g1")
    assert now == replace(changed, version=version, updated_at=now.updated_at)


@pytest.mark.gen_test
async def test_save_without_hold_leaves_a_renewal_alone(store):
    tx = await store.insert(owned(store, "g1"))
    assert await store.renew({tx.id: "node-a"}, 60.0) == {tx.id}
    renewed = await store.load("g1")
    version = await store.save(Save(tx, tx.version))
    now = await store.load("g1")
    assert (now.owner, now.due_at) == ("node-a", renewed.due_at)
    await store.save(Save(tx, version, hold=Hold("", 12345)))
    now = await store.load("g1")
    assert (now.owner, now.due_at) == ("", 12345)
    await store.save(Save(now, now.version, hold=Hold("node-b", None)))
    now = await store.load("g1")
    assert (now.owner, now.due_at) == ("node-b", None)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.gen_test
async def test_save_changes_the_doubt_only_when_told(store, before):
    tx = await store.insert(owned(store, "g1", doubt=before))
    for told, found in ((None, before), (True, True), (None, True), (False, False), (None, False)):
        tx = replace(tx, version=await store.save(Save(tx, tx.version, doubt=told)))
        assert (await store.load("g1")).doubt is found


@pytest.mark.gen_test(timeout=30)
async def test_concurrent_inserts(store):
    gids = [f"g{i}" for i in range(500)] + ["same"] * 50
    random.Random(7).shuffle(gids)
    results = await asyncio.gather(*(store.insert(owned(store, gid)) for gid in gids))
    won = [tx for tx in results if tx is not None]
    assert sorted(tx.gid for tx in won) == sorted({*gids})
    for tx in won:
        assert await store.load(tx.gid) == tx
    assert store.inserts.items == 550
    assert store.inserts.flushes <= 60  # 50 in a row for the one gid, the others along with them


@pytest.mark.gen_test
async def test_concurrent_saves_on_one_version(store):
    tx = await store.insert(owned(store, "g1"))
    changes = [Save(replace(tx, reason=f"writer {i}"), tx.version) for i in range(50)]
    results = await asyncio.gather(*(store.save(change) for change in changes), return_exceptions=True)
    (winner,) = [i for i, result in enumerate(results) if not isinstance(result, StaleVersion)]
    now = await store.load("g1")
    assert (now.version, now.reason) == (results[winner], f"writer {winner}")


@pytest.mark.gen_test(timeout=30)
async def test_concurrent_saves_of_many_rows_share_flushes(store):
    rows = await asyncio.gather(*(store.insert(owned(store, f"g{i}")) for i in range(300)))
    before = store.saves.flushes
    await asyncio.gather(*(store.save(parked(tx, due_at=None)) for tx in rows))
    assert store.saves.flushes - before <= 5


GIDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=128)


def test_a_gid_is_compared_byte_for_byte(engine):
    @settings(max_examples=40)
    @given(st.lists(GIDS, max_size=5))
    def check(texts):
        variants = {"Straße", "strasse", "STRASSE", "a", "A", "a ", "á", "a\u0301", "ß", "ss", "\x00", "a\x00", ""}
        for text in texts:
            shapes = (unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKC"))
            variants |= {text, text.upper(), text.lower(), text + " ", text + "\x00", *shapes}
        gids = sorted(gid for gid in variants if len(gid) <= 128)
        run(scenario(gids))

    async def scenario(gids):
        with tempfile.TemporaryDirectory() as folder:
            store = engine(Path(folder))
            await store.open()
            stored = await asyncio.gather(*(store.insert(free(store, gid)) for gid in gids[::2]))
            assert None not in stored
            for number, gid in enumerate(gids):
                found = await store.load(gid)
                assert (found.gid if found else None) == (None if number % 2 else gid)
            await store.close()

    check()


@pytest.mark.gen_test
async def test_ping(store):
    await store.ping()


@pytest.mark.gen_test
async def test_after_close_every_method_says_unavailable(store):
    tx = await store.insert(owned(store, "g1"))
    await store.close()
    await store.close()
    calls = [
        store.ping(), store.insert(owned(store, "g2")), store.load("g1"), store.save(Save(tx, tx.version)),
        store.claim_due("n", 1, 1.0), store.renew({}, 1.0), store.owned_versions({}), store.make_due(0, 1),
        store.scan(Filter(), "", 1), store.backlog(), store.unfinished_versions(), store.purge_finished(0, 1),
        store.count_finished(0), store.kv_get("c", "k"), store.kv_put("c", "k", "v", 0), store.kv_delete("c", "k"),
        store.kv_scan("", "", 1),
    ]  # fmt: skip
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} == {StoreUnavailable}


@pytest.mark.gen_test
async def test_close_finishes_what_is_queued(engine, tmp_path):
    store = engine(tmp_path)
    await store.open()
    writes = [asyncio.ensure_future(store.insert(owned(store, f"g{i}"))) for i in range(20)]
    await asyncio.sleep(0)
    await store.close()
    assert all(await asyncio.gather(*writes))


@pytest.mark.gen_test
async def test_a_store_that_was_never_opened(engine, tmp_path):
    store = engine(tmp_path)
    with pytest.raises(DtmError):
        await store.load("g1")
    await store.close()
