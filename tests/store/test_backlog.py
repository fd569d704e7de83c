"""What is told of a backlog that has piled up: its oldest rows exactly, its size up to a bound."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace

import pytest
from store_values import make_tx

from dtm.core.model import Status
from dtm.core.store import sqlite_sql
from dtm.core.store.codec import STATUS_CODE
from dtm.core.store.memory import MemoryStore
from dtm.core.store.mysql import MysqlStore
from dtm.core.store.survey import COUNTED, Backlog, Unfinished, total

ROWS = COUNTED * 6 // 5
COLUMNS = "id, gid, trans_type, protocol_version, version, owner, doubt, request, state, created_at, updated_at"
"""Besides them: status, due_at."""
FILL = f"""
    INSERT INTO dtm_transaction ({COLUMNS}, status, due_at)
    SELECT seq, seq, 'kind', CASE WHEN seq <= {ROWS // 2} THEN '2' ELSE '1' END, 1, '', 0, '{{}}', '{{}}', 5 + seq, 0,
        {STATUS_CODE[Status.SUBMITTED]}, 1000 + seq FROM """


def pile_up(store, request):
    """Due rows of two versions; the older ones, by id, are of version 2."""
    if isinstance(store, MemoryStore):
        tx = make_tx("g")
        for seq in range(1, ROWS + 1):
            version = "2" if seq <= ROWS // 2 else "1"
            changes = {"protocol_version": version, "created_at": 5 + seq, "due_at": 1000 + seq}
            store.database.put(replace(tx, id=seq, gid=str(seq), **changes))
    elif isinstance(store, MysqlStore):
        server = request.getfixturevalue("mariadb")
        server.run(f"{FILL} seq_1_to_{ROWS}", database=store.address.database)
    else:
        numbers = (
            f"(WITH RECURSIVE n(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n LIMIT {ROWS}) SELECT seq FROM n)"
        )
        with contextlib.closing(sqlite3.connect(store.path)) as db, db:
            db.execute(FILL + numbers)


@pytest.mark.gen_test(timeout=60)
async def test_counting_stops_somewhere_and_the_oldest_is_known_all_the_same(store, request):
    pile_up(store, request)
    await store.insert(make_tx("one", Status.PREPARED, created_at=77))
    assert await store.backlog() == Backlog(
        {("kind", Status.SUBMITTED): Unfinished(COUNTED, 6), ("kind", Status.PREPARED): Unfinished(1, 77)},
        COUNTED,
        1001,
    )
    assert await store.unfinished_versions() == {("kind", "1"), ("kind", "2")}


@pytest.mark.gen_test
async def test_the_embedded_store_goes_by_its_indexes(sqlite_store, request):
    pile_up(sqlite_store, request)
    with contextlib.closing(sqlite3.connect(sqlite_store.path)) as db:
        for analyzed in (False, True):
            if analyzed:
                db.execute("ANALYZE")
            for query, values, index in (
                (sqlite_sql.NEXT_VERSION, (2, "kind", "1"), "(status=? AND trans_type=? AND protocol_version>?)"),
                (sqlite_sql.NEXT_TYPE, (2, "kind"), "(status=? AND trans_type>?)"),
                (sqlite_sql.NUMBER, (2, "kind", "1"), "(status=? AND trans_type=? AND protocol_version=?)"),
                (sqlite_sql.DUE_NOW, (5,), "(due_at=?)"),
            ):
                plan = " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query}", values))
                assert index in plan
                assert "TEMP" not in plan
                assert "SCAN dtm_transaction" not in plan


def test_what_was_not_counted_to_its_end_is_told_as_such():
    assert total([]) == "0"
    assert total([3, COUNTED - 1]) == f"{COUNTED + 2}"
    assert total([3, COUNTED]) == f"{COUNTED + 3} or more"
