"""The barrier's table: made under any name, compared byte for byte, rid of what is old; whatever rows look like."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from typing import Any

import aiomysql
import aiosqlite
import asyncmy.cursors
import psycopg
import psycopg.rows
import pymysql.cursors
import pytest

from dtm.client import Barrier, Failure, new_gid
from dtm.client.barrier import create_table, purge
from tests.client.barrier.kinds import MYSQL, POSTGRESQL, Kind, Places, settled
from tests.client.barrier.works import business

DAY = timedelta(days=1)
AGED = {
    MYSQL: "NOW() - INTERVAL 31 DAY",
    POSTGRESQL: "now() - interval '31 days'",
    "sqlite": "datetime('now', '-31 days')",
}


def table_of(kind: Kind) -> str:
    """A table of each kind's own."""
    name = f"of_{''.join(c if c.isalnum() else '_' for c in kind.name.lower())}"
    return name if kind.dialect == "sqlite" else f"dtm_barrier.{name}"


def gids(kind: Kind) -> set[str]:
    return {gid for (gid,) in kind.rows(f"SELECT gid FROM {table_of(kind)}")}


async def test_a_table_of_another_name_is_made_used_and_purged(kind: Kind) -> None:
    table = table_of(kind)
    known = ["g", "G", "g ", "€", "é", "e\u0301"]
    async with kind.connected() as connection:
        for _ in range(2):
            await settled(create_table(connection, table=table))
        for gid in known:
            barrier = Barrier("saga", gid, "01", "action", table=table)
            assert await settled(barrier.call(connection, business(kind, new_gid(), "action"))) == "done"
        many = 501 if kind.name in ("pymysql", "asyncpg", "sqlite3") else 1
        values = ", ".join(f"('old-{number}')" for number in range(many))
        kind.rows(f"INSERT INTO {table} (gid) VALUES {values}")
        kind.rows(f"UPDATE {table} SET create_time = {AGED[kind.dialect]} WHERE gid LIKE 'old-%' OR gid = 'g'")
        kind.rows(f"INSERT INTO {table} (gid, op) VALUES ('g', 'compensate')")
        assert await settled(purge(connection, 32 * DAY, table=table)) == 0
        assert await settled(purge(connection, 30 * DAY, table=table)) == many
        assert gids(kind) == set(known), "g has a row that is young"
        assert len(kind.rows(f"SELECT 1 FROM {table} WHERE gid = 'g'")) == 2


def test_a_purge_of_what_may_be_needed_is_refused() -> None:
    with sqlite3.connect(":memory:") as connection, pytest.raises(ValueError, match="at least 2 days"):
        purge(connection, DAY)
    connection.close()


def _dict_factory(cursor: Any, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def _with_row_factory(connection: Any) -> Any:
    connection.row_factory = _dict_factory
    return connection


async def _aiosqlite(file: Any) -> Any:
    return _with_row_factory(await aiosqlite.connect(file))


UNUSUAL = {
    "pymysql": lambda at: pymysql.connect(**at.mysql, cursorclass=pymysql.cursors.SSDictCursor),
    "aiomysql": lambda at: aiomysql.connect(
        **{"db" if key == "database" else key: value for key, value in at.mysql.items()},
        cursorclass=aiomysql.DictCursor,
    ),
    "asyncmy": lambda at: asyncmy.connect(**at.mysql, cursor_cls=asyncmy.cursors.DictCursor),
    "psycopg": lambda at: psycopg.connect(at.postgresql, row_factory=psycopg.rows.dict_row),
    "sqlite3": lambda at: _with_row_factory(sqlite3.connect(at.file)),
    "aiosqlite": lambda at: _aiosqlite(at.file),
}


@pytest.mark.parametrize("name", list(UNUSUAL))
async def test_rows_may_be_of_any_shape(name: str, places: Places) -> None:
    connection = await settled(UNUSUAL[name](places))
    try:
        with pytest.raises(Failure):
            await settled(Barrier("msg", new_gid(), "00", "msg").query_prepared(connection))
        assert await settled(purge(connection, 300 * DAY)) == 0
    finally:
        await settled(connection.close())
