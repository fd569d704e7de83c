"""Lost answers, killed connections, locks, dead servers: what a caller hears is true, and nothing happens twice."""

from __future__ import annotations

import asyncio

import pytest
from mysql_faults import CLAIM, INSERT, SELECT, UPDATE, refusal, saving, some_rows, transaction, until, waiting
from store_values import LEASE, free, owned

from dtm.core.errors import OutcomeUnknown, StaleVersion, StoreUnavailable
from dtm.core.model import Status
from dtm.core.store.base import Filter, Save
from dtm.core.store.mysql import MysqlStore
from dtm.core.store.mysql_errors import Fate, StatementError
from dtm.core.store.mysql_pool import connect
from tests.support.mariadb import USER, MariaDB
from tests.support.tcp_proxy import Trouble

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


@pytest.mark.parametrize(("change", "mine"), [("(1 << 24) + 5", True), ("1", False)])
@pytest.mark.gen_test
async def test_an_insert_whose_answer_is_lost_while_others_write(mysql_store, another, proxy, mariadb, change, mine):
    """Mine has been claimed meanwhile: it is mine all the same. With another tag it is none of mine."""
    store = await another(proxy.port)

    def meanwhile(answer):
        mariadb.run(f"UPDATE dtm_transaction SET version = version + {change}", database=store.address.database)
        return refusal(1927)(answer)

    proxy.troubles = [Trouble(INSERT, "after", reply=meanwhile)]
    assert (await store.insert(free(store, "g1")) is not None) is mine


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
async def test_a_claim_whose_answer_is_lost_is_unknown(mysql_store, another, proxy, when):
    store = await another(proxy.port)
    tx = await mysql_store.insert(free(mysql_store, "g1", -1))
    proxy.troubles = [Trouble(CLAIM, when)]
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
async def test_a_claim_that_cannot_be_read_at_all_is_unknown(mysql_store, another, proxy):
    store = await another(proxy.port, db_timeout=0.3)
    await mysql_store.insert(free(mysql_store, "g1", -1))
    proxy.troubles = [Trouble(b"found_due FROM", "after", times=1000)]
    with pytest.raises(OutcomeUnknown, match="claimed, but not read"):
        await store.claim_due("node-b", 10, LEASE)


@pytest.mark.gen_test
async def test_an_answer_to_another_question_is_not_believed(mysql_store, another, proxy):
    store = await another(proxy.port)
    await mysql_store.insert(owned(mysql_store, "g1"))
    proxy.troubles = [Trouble(SELECT, "after", reply=lambda answer: answer.replace(b"g1", b"g2"))]
    with pytest.raises(StoreUnavailable, match="another question"):
        await store.load("g1")


@pytest.mark.parametrize("times", [2, 1000])
@pytest.mark.gen_test
async def test_what_became_of_a_flush_is_asked_until_it_is_known(mysql_store, another, proxy, times):
    store = await another(proxy.port, db_timeout=0.5)
    rows = await some_rows(store, 2)
    await mysql_store.save(Save(rows[1], rows[1].version))
    proxy.troubles = [Trouble(b"SELECT id, version", "after", times)]
    results = await asyncio.gather(*map(store.save, saving(rows)), return_exceptions=True)
    expected = [int, StaleVersion] if times == 2 else [OutcomeUnknown, OutcomeUnknown]
    assert [type(result) for result in results] == expected


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
    store = MysqlStore(server.url("dtm_x"), db_timeout=3.0)
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


# Connections


@pytest.mark.gen_test
async def test_a_connection_lasts_longer_than_the_time_of_a_statement(mysql_store):
    """What a statement had is no limit for the next one's connection."""
    db = await connect(mysql_store.address, 5.0)
    assert (await db.run("SELECT 1", 0.2)).rows == ((1,),)
    await asyncio.sleep(0.3)
    assert (await db.run("SELECT 2", 5.0)).rows == ((2,),)
    await db.hang_up()


@pytest.mark.gen_test
async def test_a_statement_that_takes_too_long(mysql_store):
    """Its fate is not known, and its connection is of no more use."""
    db = await connect(mysql_store.address, 5.0)
    with pytest.raises(StatementError, match="has not answered in time") as caught:
        await db.run("SELECT sleep(5)", 0.1)
    assert caught.value.fate is Fate.UNKNOWN
    assert db.dead
    db.close()
