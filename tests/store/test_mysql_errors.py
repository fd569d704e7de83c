"""Errors and locks of the server: what was not done, what may have been done, and whom it costs what."""

from __future__ import annotations

import asyncio

import pytest
from mysql_faults import CLAIM, INSERT, SELECT, UPDATE, refusal, saving, some_rows, transaction, until, waiting
from store_values import LEASE, owned

from dtm.core.errors import OutcomeUnknown, StoreUnavailable
from dtm.core.model import Status
from tests.support.tcp_proxy import Trouble

# Errors of the server


@pytest.mark.parametrize("code", [1020, 1205, 1213, 1412, 3101])
@pytest.mark.gen_test
async def test_what_was_not_done_is_done_again(mysql_store, another, proxy, code):
    store = await another(proxy.port)
    proxy.troubles = [Trouble(INSERT, "before", reply=refusal(code)), Trouble(UPDATE, "before", reply=refusal(code))]
    if code == 1205:  # a flush of inserts is not split: it was told in time that nothing was done
        with pytest.raises(StoreUnavailable):
            await store.insert(owned(store, "g1"))
    rows = await some_rows(store)
    assert None not in rows
    versions = await asyncio.gather(*map(store.save, saving(rows)))
    assert [(await mysql_store.load(tx.gid)).version for tx in rows] == versions
    assert [trouble.times for trouble in proxy.troubles] == [0, 0]


@pytest.mark.parametrize("code", [1036, 1040, 1047, 1114, 1142, 1203, 1226, 1290, 1665, 1792, 1836])
@pytest.mark.gen_test
async def test_what_the_server_refuses_for_now_was_certainly_not_done(mysql_store, another, proxy, code):
    store = await another(proxy.port)
    (tx,) = await some_rows(mysql_store, 1)
    markers = (INSERT, UPDATE, SELECT, CLAIM, b"INSERT INTO dtm_kv", b"GREATEST")
    proxy.troubles = [Trouble(marker, "before", reply=refusal(code)) for marker in markers]
    calls = [
        store.insert(owned(store, "g9")), store.save(saving([tx])[0]), store.load("g0"),
        store.claim_due("me", 1, LEASE), store.kv_put("c", "k", "v", 0), store.renew({tx.id: "node-a"}, LEASE),
    ]  # fmt: skip
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable] * len(calls)
    assert await mysql_store.load("g0") == tx
    assert await mysql_store.load("g9") is None
    assert await store.insert(owned(store, "g9"))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("code", [1053, 1105, 1180, 1317, 1927, 1969, 3024, 4031, 9999])
@pytest.mark.gen_test
async def test_what_may_have_been_done_is_found_out(mysql_store, another, proxy, code, when):
    store = await another(proxy.port)
    proxy.troubles = [Trouble(marker, when, reply=refusal(code)) for marker in (INSERT, UPDATE, SELECT)]
    rows = await some_rows(store)
    assert None not in rows
    versions = await asyncio.gather(*map(store.save, saving(rows)))
    found = [await store.load(tx.gid) for tx in rows]
    assert [tx.version for tx in found] == versions
    assert [trouble.times for trouble in proxy.troubles] == [0, 0, 0]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.gen_test
async def test_what_cannot_be_found_out_in_time_is_unknown(mysql_store, another, proxy, when):
    store = await another(proxy.port, db_timeout=0.5)
    (tx,) = await some_rows(mysql_store, 1)
    proxy.troubles = [Trouble(INSERT, when, times=1000), Trouble(UPDATE, when, times=1000)]
    calls = (store.insert(owned(store, "g9")), store.save(saving([tx])[0]))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [OutcomeUnknown] * 2
    assert (await mysql_store.load("g9") is None) is (when == "before")
    assert ((await mysql_store.load("g0")).status is Status.SUBMITTED) is (when == "before")


@pytest.mark.gen_test
async def test_a_server_that_becomes_read_only(mysql_store, mariadb):
    (tx,) = await some_rows(mysql_store, 1)
    mariadb.run("SET GLOBAL read_only = 1")
    try:
        for write in (
            mysql_store.insert(owned(mysql_store, "g9")), mysql_store.save(saving([tx])[0]), mysql_store.ping(),
            mysql_store.claim_due("me", 1, LEASE), mysql_store.purge_finished(1, 1),
            mysql_store.kv_put("c", "k", "v", 0),
        ):  # fmt: skip
            with pytest.raises(StoreUnavailable, match="read-only"):
                await write
        assert await mysql_store.load("g0") == tx
    finally:
        mariadb.run("SET GLOBAL read_only = 0")
    await mysql_store.ping()
    assert await mysql_store.save(saving([tx])[0])


# Locks


@pytest.mark.gen_test
async def test_a_deadlock_is_retried(mysql_store, mariadb):
    rows = sorted(await some_rows(mysql_store), key=lambda tx: tx.id)
    heavy = "INSERT INTO dtm_kv SELECT 'c', seq, 'v', 1, 1, 1 FROM seq_1_to_100"  # so that the other one is the victim
    lock = "SELECT * FROM dtm_transaction WHERE id = {} FOR UPDATE"
    ((before,),) = mariadb.run(
        "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'INNODB_DEADLOCKS'"
    )
    with transaction(mariadb, mysql_store, heavy, lock.format(rows[-1].id)) as stranger:
        saves = [asyncio.ensure_future(mysql_store.save(change)) for change in saving(rows)]
        await until(lambda: waiting(mariadb, "updated_at = "))
        await asyncio.to_thread(stranger.cursor().execute, lock.format(rows[0].id))
    versions = await asyncio.gather(*saves)
    assert [(await mysql_store.load(tx.gid)).version for tx in rows] == versions
    ((after,),) = mariadb.run(
        "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'INNODB_DEADLOCKS'"
    )
    assert int(after) > int(before)


@pytest.mark.gen_test(timeout=30)
async def test_a_row_that_somebody_has_locked_costs_its_neighbours_no_more_than_a_wait(mysql_store, mariadb):
    rows = await some_rows(mysql_store)
    with transaction(mariadb, mysql_store, "SELECT * FROM dtm_transaction WHERE gid = 'g2' FOR UPDATE"):
        results = await asyncio.gather(*map(mysql_store.save, saving(rows)), return_exceptions=True)
        assert [isinstance(result, StoreUnavailable) for result in results] == [False, False, True, False, False]
        with pytest.raises(StoreUnavailable, match="locked"):
            await mysql_store.save(saving(rows)[2])
        assert len(await mysql_store.claim_due("me", 10, LEASE, ahead=LEASE + 1)) == 4
        assert await mysql_store.purge_finished(0, 10) == await mysql_store.make_due(0, 10) == 0
    assert await mysql_store.load("g2") == rows[2]
    assert await mysql_store.save(saving(rows)[2])


@pytest.mark.gen_test(timeout=30)
async def test_a_flush_whose_rows_are_all_locked_was_not_done(mysql_store, mariadb):
    rows = await some_rows(mysql_store, 2)
    with transaction(mariadb, mysql_store, "SELECT * FROM dtm_transaction FOR UPDATE"):
        results = await asyncio.gather(*map(mysql_store.save, saving(rows)), return_exceptions=True)
    assert [isinstance(result, StoreUnavailable) for result in results] == [True] * 2
    assert [await mysql_store.load(tx.gid) for tx in rows] == rows


@pytest.mark.gen_test
async def test_a_flush_that_meets_locks_twice_was_not_done(mysql_store, another, proxy):
    store = await another(proxy.port)
    rows = await some_rows(store, 2)
    proxy.troubles = [Trouble(UPDATE, "before", times=2, reply=refusal(1205))]
    results = await asyncio.gather(*map(store.save, saving(rows)), return_exceptions=True)
    assert [isinstance(result, StoreUnavailable) for result in results] == [True] * 2
    assert [await mysql_store.load(tx.gid) for tx in rows] == rows


@pytest.mark.gen_test(timeout=30)
async def test_a_row_that_somebody_has_locked_costs_the_others_no_lease(mysql_store, mariadb):
    rows = await some_rows(mysql_store)
    held = {tx.id: "node-a" for tx in rows}
    with transaction(mariadb, mysql_store, "SELECT * FROM dtm_transaction WHERE gid = 'g2' FOR UPDATE"):
        with pytest.raises(OutcomeUnknown, match="some leases are longer now"):
            await mysql_store.renew(held, 100.0)
        renewed = [(await mysql_store.load(tx.gid)).due_at > tx.due_at for tx in rows]
        assert renewed == [True, True, False, True, True]
    assert await mysql_store.renew(held, 100.0) == held.keys()


@pytest.mark.gen_test(timeout=30)
async def test_a_gid_that_somebody_is_inserting(mysql_store, mariadb):
    columns = (
        "gid, trans_type, protocol_version, version, owner, doubt, request, state, created_at, updated_at, status, id"
    )
    row = "'g1', 'kind', '1', 1, '', 0, '{}', '{}', 1, 1, 1, 5"
    with transaction(mariadb, mysql_store, f"INSERT INTO dtm_transaction ({columns}) VALUES ({row})") as stranger:
        with pytest.raises(StoreUnavailable, match="locked"):
            await mysql_store.insert(owned(mysql_store, "g1"))
        insert = asyncio.ensure_future(mysql_store.insert(owned(mysql_store, "g1")))
        await until(lambda: waiting(mariadb, "INSERT INTO dtm_transaction"))
        stranger.commit()
    assert await insert is None
