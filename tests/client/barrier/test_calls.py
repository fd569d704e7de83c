"""Which call a barrier is for, what is refused before any SQL or as misuse, and that nothing needless is loaded."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import aiosqlite
import pytest

from dtm.client import Barrier, InvalidRequest
from dtm.client.barrier import create_table
from dtm.client.barrier.links import KINDS
from dtm.client.barrier.running import passes
from dtm.client.barrier.sql import Sql

QUERY = {"trans_type": "saga", "gid": "g", "branch_id": "01", "op": "action"}
RAW = "branch_id=01&gid=%E2%82%AC%2F1&op=transfer&trans_type=saga&op=action"
DRIVERS = sorted({package for package, _ in KINDS})
OTHERS = ["tornado", "pluggy", "jsonschema", "fastapi", "starlette", "flask", "aiohttp", "dtm.core"]


@pytest.fixture
def connection() -> Any:
    made = sqlite3.connect(":memory:")
    create_table(made)
    yield made
    made.close()


@pytest.mark.parametrize("name", list(QUERY))
@pytest.mark.parametrize("value", ["", None, "x" * 129, "a\0b", "a\nb", "\ud800", "\x85", 7])
def test_what_a_column_would_not_hold_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=f"^{name}: expected 1 to "):
        Barrier.from_query({**QUERY, name: value})


def test_what_a_column_holds_is_taken_as_it_is() -> None:
    gid = "€ '%s;" + "x" * 122
    assert Barrier.from_query({**QUERY, "gid": gid}).identity.gid == gid
    for name in QUERY:
        with pytest.raises(InvalidRequest, match=f"^{name}: "):
            Barrier.from_query({key: value for key, value in QUERY.items() if key != name})


@pytest.mark.parametrize(
    "request_",
    [
        SimpleNamespace(scope={"query_string": RAW.encode()}),
        SimpleNamespace(environ={"QUERY_STRING": RAW}),
        SimpleNamespace(rel_url=SimpleNamespace(raw_query_string=RAW)),
        SimpleNamespace(query=RAW),
        SimpleNamespace(request=SimpleNamespace(query=RAW)),
    ],
    ids=["ASGI", "WSGI", "aiohttp", "Tornado's request", "Tornado's handler"],
)
def test_a_request_of_any_framework_tells_its_call(request_: Any) -> None:
    call = Barrier.from_request(request_).identity
    assert (call.gid, call.op) == ("€/1", "action"), "the coordinator's own parameters are the last"


def test_a_request_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="not UTF-8"):
        Barrier.from_request(SimpleNamespace(query=RAW + "&gid=%FF"))
    with pytest.raises(
        TypeError, match="expected a request of FastAPI, Starlette, Flask, Tornado or aiohttp, got dict"
    ):
        Barrier.from_request({})


@pytest.mark.parametrize("name", ["", "a b", "a.b.c", "a;DROP", "1a", "a" * 64, "a.", ".a", "ä", "a\n"])
def test_a_table_needs_a_name(name: str, connection: Any) -> None:
    if name:
        with pytest.raises(ValueError, match="expected the name of a table"):
            Barrier.from_query(QUERY, table=name).call(connection, print)
    assert Sql.of("mysql", "shop.Barrier_2", "format").table == "shop.Barrier_2"


def test_an_unknown_connection_is_told_what_is_known() -> None:
    with pytest.raises(TypeError, match=r"expected a connection of PyMySQL, .*AsyncSession; got builtins\.dict"):
        Barrier.from_query(QUERY).call({}, print)


def test_blocks_that_overlap_or_follow_an_error_are_refused(connection: Any) -> None:
    barrier = Barrier.from_query(QUERY)
    with (
        pytest.raises(RuntimeError, match="is not over yet"),
        barrier.guard(connection),
        barrier.guard(connection),
    ):
        pass
    with pytest.raises(RuntimeError, match="has failed"):
        barrier.call(connection, print)
    assert connection.execute("SELECT count(*) FROM barrier").fetchall() == [(0,)]


def test_business_that_nobody_would_await_is_refused(connection: Any) -> None:
    async def work(_: Any) -> None:
        raise AssertionError

    with pytest.raises(TypeError, match="expected a plain function"):
        Barrier.from_query(QUERY).call(connection, work)
    assert connection.execute("SELECT count(*) FROM barrier").fetchall() == [(0,)]


async def test_plain_business_on_an_asynchronous_connection_is_refused() -> None:
    async with aiosqlite.connect(":memory:") as connection:
        await create_table(connection)
        with pytest.raises(TypeError, match="expected an async function"):
            await Barrier.from_query(QUERY).call(connection, print)  # type: ignore[func-returns-value] - that is it
        assert await connection.execute_fetchall("SELECT count(*) FROM barrier") == [(0,)]


def test_a_table_that_is_not_there_is_named_with_its_remedy() -> None:
    with closing(sqlite3.connect(":memory:")) as connection, pytest.raises(sqlite3.OperationalError) as caught:
        Barrier.from_query(QUERY).call(connection, print)
    assert caught.value.__notes__ == [
        "that was the barrier, writing to barrier, the table that create_table(connection) makes"
    ]


def test_business_that_commits_is_told_whose_that_is(connection: Any) -> None:
    with pytest.raises(sqlite3.OperationalError, match="cannot commit") as caught:
        Barrier.from_query(QUERY).call(connection, lambda connection: connection.commit())
    assert caught.value.__notes__[0].startswith("that was the barrier's commit; nobody else may commit")


async def test_the_wrong_kind_of_context_is_refused(connection: Any) -> None:
    with pytest.raises(TypeError, match="the connection is not asynchronous"):
        async with Barrier.from_query(QUERY).guard(connection):
            pass


def test_a_lock_that_is_not_had_in_time_passes(tmp_path: Any) -> None:
    one, other = (sqlite3.connect(tmp_path / "db", timeout=0) for _ in range(2))
    one.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError) as caught:
        Barrier.from_query(QUERY).call(other, print)
    assert passes(caught.value)
    assert not passes(sqlite3.OperationalError("no such table: x"))
    one.close()
    other.close()


def test_importing_the_client_loads_no_driver_and_no_framework() -> None:
    code = f"import sys, dtm.client; print([name for name in {DRIVERS + OTHERS} if name in sys.modules])"
    everywhere = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-S", "-c", code]  # without what else starts with Python here: coverage loads sqlite3
    done = subprocess.run(command, env=everywhere, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_sql_file_names_the_columns_that_are_written() -> None:
    for dialect in ("mysql", "postgresql", "sqlite"):
        sql = Sql.of(dialect, "other", "qmark")
        (table, *_) = [each for each in sql.creation() if each.startswith("CREATE TABLE")]
        assert re.search(r"EXISTS other \(", table)
        assert all(f"\n  {name} " in table for name in ("trans_type", "gid", "branch_id", "op", "barrier_id", "reason"))
