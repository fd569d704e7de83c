"""What only the store on a server promises: many nodes, one clock, indexes that are used, the server's limits."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import replace
from itertools import product

import pytest
from store_values import LEASE, FixedClock, finished, free, make_tx, owned, parked

from dtm.core.clock import Clock
from dtm.core.errors import CorruptRow, InvalidRequest, StaleVersion
from dtm.core.model import Attempt, Branch, BranchStatus, Outcome, Status
from dtm.core.store import mysql_backlog_sql as backlog_sql
from dtm.core.store import mysql_sql as sql
from dtm.core.store.base import Filter, Hold, Save
from dtm.core.store.group_commit import Update
from dtm.core.store.mysql_clock import DatabaseClock


def run(store, mariadb, statement):
    """Run a statement in the store's database, as the administrator."""
    return mariadb.run(statement, database=store.address.database)


@pytest.mark.gen_test
async def test_claims_of_two_nodes_never_share_a_row(mysql_store, another):
    stores = [mysql_store, await another()]
    await asyncio.gather(*(mysql_store.insert(free(mysql_store, f"g{i}", -1)) for i in range(300)))
    taken = {}

    async def node(name, store):
        number = 0
        while claims := await store.claim_due(f"{name}-{number}", 7, LEASE):
            number += 1
            for claim in claims:
                assert claim.tx.gid not in taken
                taken[claim.tx.gid] = claim.tx

    await asyncio.gather(*(node(f"node{i}", stores[i % 2]) for i in range(6)))
    assert len(taken) == 300
    assert {tx.owner.partition("-")[0] for tx in taken.values()} == {f"node{i}" for i in range(6)}
    assert [await mysql_store.load(gid) for gid in taken] == list(taken.values())


@pytest.mark.gen_test
async def test_claims_under_somebody_s_trigger(mysql_store, mariadb):
    """A trigger makes the server forget the LAST_INSERT_ID of the statement that fired it."""
    run(mysql_store, mariadb, "CREATE TABLE auditor (gid VARBINARY(512))")
    body = "FOR EACH ROW INSERT INTO auditor VALUES (NEW.gid)"
    run(mysql_store, mariadb, f"CREATE TRIGGER auditor_sees AFTER UPDATE ON dtm_transaction {body}")
    due = [await mysql_store.insert(free(mysql_store, f"g{number}", number - 3)) for number in range(3)]
    before = mysql_store.now()
    claims = await mysql_store.claim_due("node-a", 10, LEASE)
    assert [claim.tx.id for claim in claims] == [tx.id for tx in due]
    assert [claim.found_due for claim in claims] == [tx.due_at for tx in due]
    assert before <= mysql_store.now() <= before + 60_000
    assert run(mysql_store, mariadb, "SELECT count(*) FROM auditor") == ((3,),)


@pytest.mark.gen_test
async def test_nodes_see_one_another(mysql_store, another):
    other = await another()
    tx = await mysql_store.insert(owned(mysql_store, "g1"))
    assert await other.load("g1") == tx
    assert await other.insert(owned(other, "g1")) is None
    version = await other.save(Save(tx, tx.version))
    with pytest.raises(StaleVersion):
        await mysql_store.save(Save(tx, tx.version))
    assert await mysql_store.owned_versions({tx.id: "node-a"}) == {tx.id: version}
    await other.save(parked(replace(tx, version=version), due_at=mysql_store.now()))
    assert len(await mysql_store.claim_due("node-b", 10, LEASE)) == 1


@pytest.mark.gen_test
async def test_nodes_that_insert_the_same_gids_in_other_orders(mysql_store, another):
    """Rows are inserted in the order of their ids, so they may meet deadlocks: nobody hears of them."""
    gids = [f"g{i}" for i in range(200)]
    orders = [(mysql_store, gids), (await another(), gids[::-1]), (await another(), sorted(gids))]
    inserts = [store.insert(owned(store, gid)) for store, order in orders for gid in order]
    stored = [tx for tx in await asyncio.gather(*inserts) if tx is not None]
    assert sorted(tx.gid for tx in stored) == sorted(gids)
    assert [await mysql_store.load(tx.gid) for tx in stored] == stored


@pytest.mark.gen_test
async def test_statements_use_the_indexes(mysql_store, mariadb):
    await mysql_store.insert(free(mysql_store, "g1"))
    columns = "gid, trans_type, protocol_version, version, owner, doubt, request, state, created_at, updated_at"
    values = "'kind', '1', 1, '', 0, '{}', '{}', seq, seq"
    for first, status, due_at, finished_at in ((1, 2, "seq", sql.NEVER), (30_001, 4, sql.NEVER, "seq")):
        run(
            mysql_store,
            mariadb,
            f"""
            INSERT INTO dtm_transaction (id, {columns}, status, due_at, finished_at)
            SELECT seq, seq, {values}, {status}, {due_at}, {finished_at} FROM seq_{first}_to_{first + 29_999}""",
        )
    run(mysql_store, mariadb, "ANALYZE TABLE dtm_transaction")

    def plan(statement):
        """(table, type of access, index) of each step."""
        return {(row[2], row[3], row[5]) for row in run(mysql_store, mariadb, f"EXPLAIN {statement}")}

    whole = {"dtm_transaction", "t"}
    statements = {
        "claim": sql.claim("me", 100, horizon=0, lease=1, offset=0, tag=1),
        "claimed": sql.claimed("me", 5),
        "make_due": sql.make_due(0, 100, 0),
        "count_finished": sql.count_finished(10**9),
        "purge": sql.purge(10**9, 100),
        "kinds": backlog_sql.kinds([("kind", "1"), ("other", "1")]),
        "due_now": backlog_sql.due_now(0),
        "next_versions": backlog_sql.next_versions("a", "1"),
        "load": sql.loads(["g1"]),
        "loads": sql.loads([str(number) for number in range(50)]),
        "renew": sql.renew(dict.fromkeys(range(200), "me"), 1, 0, wait=False),
        "renew and wait": sql.renew(dict.fromkeys(range(200), "me"), 1, 0, wait=True),
        "owned_versions": sql.owned_versions(dict.fromkeys(range(200), "me")),
        "versions": sql.versions(range(200)),
        "unlocked": sql.unlocked(range(200)),
        "ids_of_gids": sql.ids_of_gids(map(str, range(200))),
        "scan": sql.scan(Filter(status="succeed"), None, 100),
        "scan a rare status": sql.scan(Filter(status="aborting"), None, 100),
    }
    plans = {name: plan(statement) for name, statement in statements.items()}
    plans["a save"] = plan(sql.updates([Update(Save(make_tx("g", id=5), 1), 2, 0, None, b"{}")], 0))
    assert [name for name, steps in plans.items() for table, kind, _ in steps if table in whole and kind == "ALL"] == []
    assert ("dtm_transaction", "range", "dtm_transaction_due") in plans["claim"]
    assert ("t", "eq_ref", "PRIMARY") in plans["claim"]
    assert plans["claimed"] == {("dtm_transaction", "ref", "dtm_transaction_due")}
    assert ("dtm_transaction", "range", "dtm_transaction_finished") in plans["purge"]
    assert {step for step in plans["kinds"] if step[0] == "dtm_transaction"} == {
        ("dtm_transaction", "ref", "dtm_transaction_finished")
    }
    assert plans["scan a rare status"] == {("dtm_transaction", "ref", "dtm_transaction_finished")}


@pytest.mark.gen_test
async def test_the_unfinished_protocols_cost_a_few_looks_however_many_rows_there_are(mysql_store, mariadb):
    columns = "gid, trans_type, protocol_version, version, owner, doubt, request, state, created_at, updated_at"
    kind = "ELT(1 + seq % 4, 'msg', 'saga', 'tcc', 'ähm'), ELT(1 + seq % 3, '1', '10', '2')"
    values = f"{kind}, 1, '', 0, '{{}}', '{{}}', seq, seq"
    run(
        mysql_store,
        mariadb,
        f"""INSERT INTO dtm_transaction (id, {columns}, status)
        SELECT seq, seq, {values}, 1 + seq % 3 FROM seq_1_to_20000""",
    )
    kinds = list(product(("msg", "saga", "tcc", "ähm"), ("1", "10", "2")))
    assert await mysql_store.unfinished_versions() == set(kinds)
    with contextlib.closing(mariadb.connect(mysql_store.address.database)) as connection:
        cursor = connection.cursor()
        cursor.execute("FLUSH STATUS")
        for after in (("", ""), *kinds):
            cursor.execute(backlog_sql.next_versions(*after))
        cursor.execute("SHOW STATUS LIKE 'Handler_read%'")
        assert sum(int(number) for _, number in cursor.fetchall()) < 200


class StrangeClock(Clock):
    """The clock of a machine whose date is wrong; its boot clock is right."""

    def __init__(self, wrong_by):
        self.wrong_by = wrong_by

    def boot(self):
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self):
        return round((time.time() + self.wrong_by) * 1000)


@pytest.mark.parametrize("zone", ["-09:30", "+13:00"])
@pytest.mark.gen_test
async def test_only_the_database_s_clock_counts_and_no_time_zone(mysql_store, mariadb, another, monkeypatch, zone):
    ((before,),) = mariadb.run("SELECT @@GLOBAL.time_zone")
    mariadb.run(f"SET GLOBAL time_zone = '{zone}'")
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        other = await another(clock=StrangeClock(3600))
        assert mariadb.run("SELECT @@SESSION.time_zone") == ((zone,),)
        for store in (mysql_store, other):
            assert abs(store.now() - time.time() * 1000) < 500
        await mysql_store.insert(free(mysql_store, "due", -1))
        await mysql_store.insert(free(mysql_store, "not yet", 30))
        (claim,) = await other.claim_due("other", 10, LEASE)
        assert claim.tx.gid == "due"
        assert abs(claim.tx.due_at - LEASE * 1000 - time.time() * 1000) < 500
        assert await mysql_store.claim_due("me", 10, LEASE, ahead=14) == []
        assert [c.tx.gid for c in await mysql_store.claim_due("me", 10, LEASE, ahead=16)] == ["due"]
    finally:
        monkeypatch.undo()
        time.tzset()
        mariadb.run(f"SET GLOBAL time_zone = '{before}'")


def test_what_is_known_of_the_database_s_clock():
    class Boot(FixedClock):
        seconds = 100.0

        def boot(self):
            return self.seconds

    clock = Boot()
    known = DatabaseClock(clock)
    assert known.now() == clock.wall() * 1000
    clock.seconds = 100.5
    known.learn(7_000_000, 7_000_000, asked=100_000_000)  # half a second on the way: then or now, nobody knows
    assert known.now() == 7_000_000
    known.learn(7_400_000, 7_400_000, asked=100_000_000)
    assert known.now() == 7_400_000
    known.learn(7_300_000, 7_300_000, asked=100_000_000)  # may be older than the answer before
    assert known.now() == 7_400_000
    clock.seconds = 101.5
    assert known.now() == 8_400_000
    known.learn(20_000_000, 20_000_999, asked=101_499_000)  # somebody has set it
    assert known.now() == 20_000_000


@pytest.mark.gen_test
async def test_every_row_of_a_flush_gets_its_own_changes_and_no_others(mysql_store):
    rows = await asyncio.gather(*(mysql_store.insert(owned(mysql_store, f"g{i}")) for i in range(6)))
    before = mysql_store.saves.flushes
    changes = [
        Save(replace(rows[0], status=Status.ABORTING, reason='it\'s\\a "reason"; %s \x1f\u2028🎈'), rows[0].version),
        Save(replace(rows[1], body={"new": 1}, branches=()), rows[1].version, with_request=True),
        parked(rows[2], due_at=77),
        Save(rows[3], rows[3].version, hold=Hold("other", None)),
        Save(replace(rows[4], finished_at=5, status=Status.FAILED), rows[4].version, doubt=False),
        Save(rows[5], rows[5].version - 1),
    ]
    results = await asyncio.gather(*map(mysql_store.save, changes), return_exceptions=True)
    assert mysql_store.saves.flushes == before + 1
    assert isinstance(results[5], StaleVersion)
    found = [await mysql_store.load(tx.gid) for tx in rows]
    expected = [
        changes[0].tx,
        changes[1].tx,
        replace(rows[2], owner="", due_at=77, doubt=False),
        replace(rows[3], owner="other", due_at=None),
        replace(changes[4].tx, doubt=False),
        rows[5],
    ]
    for number, tx in enumerate(expected[:5]):
        assert found[number] == replace(tx, version=results[number], updated_at=found[number].updated_at)
        assert abs(found[number].updated_at - mysql_store.now()) < 5000
    assert found[5] == rows[5]


@pytest.mark.parametrize("ops", [("compensate", "action"), ("action",)])
@pytest.mark.gen_test
async def test_the_usual_end_makes_no_column_longer(mysql_store, mariadb, ops):
    """Or InnoDB would write the whole row once more, and the page would split."""
    branches = tuple(Branch(branch_id, op, "http://bank/x") for branch_id in ("01", "02") for op in ops)
    tx = owned(mysql_store, "g", branches=branches, custom_data="")
    tx = await mysql_store.insert(replace(tx, next_at=tx.created_at + 10_000))
    lengths = "SELECT state, OCTET_LENGTH(state) FROM dtm_transaction"
    ((before, room),) = run(mysql_store, mariadb, lengths)
    ended = list(branches)
    for number, place in enumerate(range(len(ops) - 1, len(branches), len(ops))):
        call = Attempt(tx.created_at + 999 + 1000 * number, 999, Outcome.SUCCESS)
        answered = {"started": 1, "answered": 1, "started_at": call.time, "ended_at": call.time + 999, "log": (call,)}
        ended[place] = replace(branches[place], status=BranchStatus.SUCCEED, **answered)
    await mysql_store.save(finished(replace(tx, branches=tuple(ended)), at=5))
    ((after, room_after),) = run(mysql_store, mariadb, lengths)
    assert (len(before.strip()) < len(after.strip()), room_after) == (True, room)
    columns = f"TABLE_SCHEMA = '{mysql_store.address.database}' AND TABLE_NAME = 'dtm_transaction'"
    nullable = f"SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE {columns} AND IS_NULLABLE = 'YES'"
    assert run(mysql_store, mariadb, nullable) == (("found_due",),)


@pytest.mark.gen_test
async def test_one_bad_item_never_fails_its_neighbours(mysql_store):
    bad = {
        "g3": {"due_at": 2**63},
        "g5": {"owner": "x" * 129},
        "g8": {"owner": "\ud800"},
        "g9": {"trans_type": "x" * 500},
    }
    rows = [owned(mysql_store, f"g{i}", **bad.get(f"g{i}", {})) for i in range(12)]
    results = await asyncio.gather(*map(mysql_store.insert, rows), return_exceptions=True)
    assert {tx.gid for tx, result in zip(rows, results, strict=True) if isinstance(result, InvalidRequest)} == {*bad}
    assert {tx.gid for tx in rows if await mysql_store.load(tx.gid) is None} == {*bad}
    good = [tx for tx in results if not isinstance(tx, InvalidRequest)]
    saves = [Save(replace(tx, finished_at=2**70 if tx.gid == "g4" else None), tx.version) for tx in good]
    results = await asyncio.gather(*map(mysql_store.save, saves), return_exceptions=True)
    assert [tx.gid for tx, result in zip(good, results, strict=True) if isinstance(result, InvalidRequest)] == ["g4"]


@pytest.mark.gen_test
async def test_what_is_too_long_for_the_server_is_refused_alone(mysql_store, mariadb, another):
    ((before,),) = mariadb.run("SELECT @@GLOBAL.max_allowed_packet")
    mariadb.run("SET GLOBAL max_allowed_packet = 1048576")
    try:
        store = await another()
    finally:
        mariadb.run(f"SET GLOBAL max_allowed_packet = {before}")
    sizes = {"a": 10, "b": 600_000, "c": 10, "d": 300_000, "e": 400_000}
    rows = [owned(store, gid, custom_data="x" * size) for gid, size in sizes.items()]
    results = await asyncio.gather(*map(store.insert, rows), return_exceptions=True)
    assert [tx.gid for tx, result in zip(rows, results, strict=True) if isinstance(result, InvalidRequest)] == ["b"]
    assert [await mysql_store.load(tx.gid) for tx in rows if tx.gid != "b"] == [
        tx for tx in results if not isinstance(tx, InvalidRequest)
    ]


@pytest.mark.gen_test
async def test_a_row_that_cannot_be_read_costs_nobody_else_anything(mysql_store, mariadb):
    for gid in ("a", "poison", "b"):
        await mysql_store.insert(free(mysql_store, gid, -1))
    run(mysql_store, mariadb, "UPDATE dtm_transaction SET state = 'no json' WHERE gid = 'poison'")
    run(mysql_store, mariadb, "UPDATE dtm_transaction SET gid = x'ff' WHERE gid = 'b'")
    good, bad = await asyncio.gather(*map(mysql_store.load, ("a", "poison")), return_exceptions=True)
    assert good.gid == "a"
    assert isinstance(bad, CorruptRow)
    assert "'poison'" in str(bad)
    page, _ = await mysql_store.scan(Filter(), "", 10)
    assert [(tx.gid, bool(tx.trouble)) for tx in page] == [("\ufffd", False), ("poison", True), ("a", False)]
    claims = await mysql_store.claim_due("me", 10, 15.0)
    told = [(claim.tx.gid, bool(claim.unreadable)) for claim in claims]
    assert told == [("a", False), ("poison", True), ("\ufffd", False)]


@pytest.mark.gen_test
async def test_a_thousand_rows_and_more_are_held(mysql_store):
    rows = await asyncio.gather(*(mysql_store.insert(owned(mysql_store, f"g{i}")) for i in range(1100)))
    held = {tx.id: "node-a" for tx in rows}
    lost = random.Random(3).sample(rows, 5)
    await asyncio.gather(*(mysql_store.save(parked(tx)) for tx in lost))
    kept = held.keys() - {tx.id for tx in lost}
    assert await mysql_store.renew(held, 60.0) == kept
    assert (await mysql_store.owned_versions(held)).keys() == kept


@pytest.mark.gen_test
async def test_long_gids_and_keys(mysql_store):
    tx = await mysql_store.insert(make_tx("🎈" * 128))
    assert await mysql_store.load("🎈" * 128) == tx
    assert await mysql_store.kv_put("c", "🎈" * 128, "v", 0)
    with pytest.raises(InvalidRequest):
        await mysql_store.kv_put("c", "k" * 513, "v", 0)
    with pytest.raises(InvalidRequest):
        await mysql_store.kv_put("c", "\ud800", "v", 0)


@pytest.mark.gen_test
async def test_the_session_is_ours_whatever_the_server_says(mysql_store, mariadb, another):
    mariadb.run("SET GLOBAL init_connect = 'SET autocommit = 0'")
    mariadb.run("SET GLOBAL sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'")
    mariadb.run("SET GLOBAL innodb_lock_wait_timeout = 50")
    try:
        store = await another()
    finally:
        mariadb.run("SET GLOBAL init_connect = ''")
        mariadb.run("SET GLOBAL sql_mode = DEFAULT")
    tx = await store.insert(owned(store, "g1", custom_data="a\\'b\"c`d\\"))
    assert await mysql_store.load("g1") == tx
    answer = await store._writes.run("SELECT @@autocommit, @@tx_isolation, @@innodb_lock_wait_timeout, @@sql_mode", 5)
    assert answer.rows == ((1, "READ-COMMITTED", 2, "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"),)
