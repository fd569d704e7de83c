"""Lost answers, killed connections, locks, dead servers: what a caller hears is true, and nothing happens twice."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from dataclasses import replace

import pytest
from conftest import mysql
from store_values import LEASE, free, owned

from dtm.core.errors import OutcomeUnknown, StaleVersion, StoreUnavailable
from dtm.core.model import Status
from dtm.core.store.base import Filter, Save
from tests.support.mariadb import USER, MariaDB
from tests.support.tcp_proxy import Trouble

INSERT, UPDATE, SELECT = b"INSERT INTO dtm_transaction", b"SET updated_at =", b"SELECT id, gid"
CLAIM = b"t.found_due = found.due_at"


def refusal(code):
    """What the proxy sends in place of an answer: an error of the server's."""
    payload = b"\xff" + struct.pack("<H", code) + b"#HY000made up"
    return lambda answer: len(payload).to_bytes(3, "little") + b"\1" + payload


def saving(rows, **changes):
    return [Save(replace(tx, status=Status.ABORTING, **changes), tx.version) for tx in rows]


async def some_rows(store, number=5):
    return await asyncio.gather(*(store.insert(owned(store, f"g{i}")) for i in range(number)))


@contextlib.contextmanager
def transaction(mariadb, store, *statements):
    """A stranger's transaction in the store's database, held open; rolled back at the end."""
    with contextlib.closing(mariadb.connect(store.address.database)) as stranger:
        stranger.begin()
        for statement in statements:
            stranger.cursor().execute(statement)
        yield stranger
        stranger.rollback()


async def until(condition, within=5.0):
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


def waiting(mariadb, word):
    """The ids of connections whose running statement contains this word."""
    found = mariadb.run(f"SELECT id FROM information_schema.PROCESSLIST WHERE user = '{USER}' AND info LIKE '%{word}%'")
    return [row_id for (row_id,) in found]


# Lost answers


@pytest.mark.parametrize("when", ["before", "after", "at once"])
@pytest.mark.gen_test
async def test_an_insert_whose_answer_is_lost(mysql_store, another, proxy, when):
    store = await another(proxy.port)
    known = await mysql_store.insert(owned(mysql_store, "g3"))
    proxy.troubles = [Trouble(INSERT, when, times=2)]
    rows = await some_rows(store)
    assert [tx is None for tx in rows] == [False, False, False, True, False]
    rows[3] = known
    assert [await mysql_store.load(tx.gid) for tx in rows] == rows
    assert proxy.troubles[0].times == 0


@pytest.mark.parametrize("when", ["before", "after", "at once"])
@pytest.mark.gen_test
async def test_a_save_whose_answer_is_lost(mysql_store, another, proxy, when):
    store = await another(proxy.port)
    rows = await some_rows(store)
    await mysql_store.save(Save(rows[3], rows[3].version))
    proxy.troubles = [Trouble(UPDATE, when, times=2)]
    results = await asyncio.gather(*map(store.save, saving(rows)), return_exceptions=True)
    assert [isinstance(result, StaleVersion) for result in results] == [False, False, False, True, False]
    for tx, version in zip(rows, results, strict=True):
        found = await mysql_store.load(tx.gid)
        assert found.status is (Status.SUBMITTED if tx is rows[3] else Status.ABORTING)
        assert found.version == version or tx is rows[3]
    assert proxy.troubles[0].times == 0


@pytest.mark.gen_test
async def test_a_read_whose_answer_is_lost(mysql_store, another, proxy):
    store = await another(proxy.port)
    tx = await mysql_store.insert(owned(mysql_store, "g1"))
    proxy.troubles = [Trouble(SELECT, "after")]
    assert await store.load("g1") == tx
    assert proxy.troubles[0].times == 0


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.gen_test
async def test_what_does_not_know_itself_again_is_unknown(mysql_store, another, proxy, when):
    store = await another(proxy.port)
    tx = await mysql_store.insert(free(mysql_store, "g1", -1))
    proxy.troubles = [Trouble(marker, when) for marker in (CLAIM, b"INSERT INTO dtm_kv")]
    with pytest.raises(OutcomeUnknown):
        await store.kv_put("c", "k", "v", 0)
    assert (await store.kv_get("c", "k") is None) is (when == "before")
    with pytest.raises(OutcomeUnknown):
        await store.claim_due("node-b", 10, LEASE)
    again = await store.claim_due("node-b", 10, LEASE, ahead=0 if when == "before" else LEASE)
    assert [(claim.tx.id, claim.found_doubt) for claim in again] == [(tx.id, when == "after")]


@pytest.mark.gen_test
async def test_a_claim_that_cannot_be_read_is_read_again(mysql_store, another, proxy):
    store = await another(proxy.port)
    await mysql_store.insert(free(mysql_store, "g1", -1))
    proxy.troubles = [Trouble(b"found_due FROM", "after")]
    assert [claim.tx.gid for claim in await store.claim_due("node-b", 10, LEASE)] == ["g1"]


@pytest.mark.gen_test
async def test_a_delayed_commit_is_waited_for(mysql_store, another, proxy, mariadb):
    """The connection dies while its statement waits for a lock: the statement is executed later all the same."""
    store = await another(proxy.port)
    rows = await some_rows(mysql_store)
    proxy.troubles = [Trouble(UPDATE, "at once")]
    with transaction(mariadb, store, "SELECT * FROM dtm_transaction FOR UPDATE"):
        saves = [asyncio.ensure_future(store.save(change)) for change in saving(rows)]
        await until(lambda: len(waiting(mariadb, "updated_at = ")) == 2)  # the first one, and the one that looks for it
    versions = await asyncio.gather(*saves)
    assert [(await mysql_store.load(tx.gid)).version for tx in rows] == versions
    assert [version >> 24 for version in versions] == [2] * 5


# A connection that does not answer


@pytest.mark.gen_test
async def test_a_half_open_connection_costs_one_time_out(mysql_store, another, proxy):
    store = await another(proxy.port, db_timeout=0.5)
    rows = await some_rows(store)
    proxy.stalled = True
    writes = [store.insert(owned(store, "late")), store.save(saving(rows)[0]), store.kv_put("c", "k", "v", 0)]
    reads = [store.load("g1"), store.ping(), store.renew({rows[0].id: "node-a"}, 5.0)]
    async with asyncio.timeout(1.5):
        results = await asyncio.gather(*writes, *reads, return_exceptions=True)
    known = {type(result) for result in results[:5]}
    assert known <= {OutcomeUnknown, StoreUnavailable}
    assert isinstance(results[0], OutcomeUnknown)
    proxy.stalled = False
    await asyncio.gather(*(store.load("g1") for _ in range(10)))
    assert await store.insert(owned(store, "later"))
    assert await mysql_store.load("late") is None


@pytest.mark.gen_test
async def test_a_cancelled_read_leaves_no_answer_behind(mysql_store):
    rows = await some_rows(mysql_store, 40)
    for number in range(40):
        reads = [asyncio.ensure_future(mysql_store.load(tx.gid)) for tx in rows[:6]]
        await asyncio.sleep(number * 0.0001)
        for read in reads[::2]:
            read.cancel()
        results = await asyncio.gather(*reads, return_exceptions=True)
        assert results[1::2] == rows[1:6:2]


# Killed connections and servers


@pytest.mark.gen_test
async def test_connections_killed_while_they_rest(mysql_store, mariadb):
    rows = await some_rows(mysql_store)
    await mysql_store.save(saving(rows)[0])
    for (connection,) in mariadb.run(f"SELECT id FROM information_schema.PROCESSLIST WHERE user = '{USER}'"):
        mariadb.run(f"KILL {connection}")
    assert await mysql_store.insert(owned(mysql_store, "g9"))
    assert await mysql_store.save(saving(rows)[1])
    assert await mysql_store.load("g1")
    assert await mysql_store.renew({rows[2].id: "node-a"}, 5.0) == {rows[2].id}


@pytest.mark.parametrize("kill", ["KILL", "KILL QUERY"])
@pytest.mark.gen_test
async def test_a_connection_killed_while_it_writes(mysql_store, mariadb, kill):
    rows = await some_rows(mysql_store)
    with transaction(mariadb, mysql_store, "SELECT * FROM dtm_transaction WHERE gid = 'g2' FOR UPDATE"):
        saves = [asyncio.ensure_future(mysql_store.save(change)) for change in saving(rows)]
        await until(lambda: waiting(mariadb, "updated_at = "))
        (connection,) = waiting(mariadb, "updated_at = ")
        mariadb.run(f"{kill} {connection}")
        await until(lambda: waiting(mariadb, "updated_at = ") not in ([], [connection]) or kill == "KILL QUERY")
    versions = await asyncio.gather(*saves)
    assert [(await mysql_store.load(tx.gid)).version for tx in rows] == versions


@pytest.mark.gen_test(timeout=90)
async def test_a_server_killed_with_9_and_started_again(tmp_path):
    server = MariaDB(tmp_path)
    server.start()
    store = mysql(tmp_path, server, db_timeout=3.0)
    await store.open()
    acknowledged, unknown = [], set()

    async def client(name):
        for number in range(100_000):
            gid = f"{name}-{number}"
            try:
                acknowledged.append(await store.insert(owned(store, gid)))
            except OutcomeUnknown:
                unknown.add(gid)
                return
            except StoreUnavailable:
                return

    clients = [asyncio.ensure_future(client(f"client{i}")) for i in range(20)]
    await until(lambda: len(acknowledged) > 2000, within=60)
    server.kill()
    await asyncio.gather(*clients)
    with pytest.raises(StoreUnavailable):
        await store.insert(owned(store, "down"))
    with pytest.raises(StoreUnavailable):
        await store.load(acknowledged[0].gid)
    with pytest.raises(StoreUnavailable):
        await store.ping()
    await asyncio.to_thread(server.start)
    await store.ping()
    assert await store.insert(owned(store, "up"))
    found = {tx.gid for tx in (await store.scan(Filter(), "", 100_000))[0]}
    assert {tx.gid for tx in acknowledged} <= found
    assert found - {tx.gid for tx in acknowledged} <= unknown | {"up"}
    await store.close()
    await asyncio.to_thread(server.stop)


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
            mysql_store.claim_due("me", 1, LEASE), mysql_store.purge_finished(1, 1), mysql_store.kv_delete("c", "k"),
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
async def test_a_row_that_somebody_has_locked_costs_the_others_no_lease(mysql_store, mariadb):
    rows = await some_rows(mysql_store)
    held = {tx.id: "node-a" for tx in rows}
    with transaction(mariadb, mysql_store, "SELECT * FROM dtm_transaction WHERE gid = 'g2' FOR UPDATE"):
        with pytest.raises(StoreUnavailable):
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
