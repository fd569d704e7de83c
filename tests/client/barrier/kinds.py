"""Every kind of connection that the barrier knows, each on a real database, used in one way by one suite of tests."""

from __future__ import annotations

import asyncio
import inspect
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomysql
import aiosqlite
import asyncmy
import asyncpg
import MySQLdb
import psycopg
import pymysql
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from dtm.client.barrier import create_table
from tests.support.mariadb import MariaDB
from tests.support.postgresql import PostgreSQL

DATABASE = "dtm_barrier"
USER, PASSWORD = "participant", "secret"
"""PyMySQL's passwords are latin-1: the one that other tests have is too much for it."""

LEDGER = "CREATE TABLE ledger (gid VARCHAR(128), op VARCHAR(45))"
CHECKED_LATE = (
    "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
    "CREATE TABLE child (parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
)
MYSQL, POSTGRESQL, SQLITE = "mysql", "postgresql", "sqlite"


class Places:
    """The databases, with the barrier's table and a ledger of what the business has done in each."""

    def __init__(self, mariadb: MariaDB, postgresql: PostgreSQL, folder: Path) -> None:
        self.port = mariadb.port
        self.postgresql = postgresql.url
        self.file = folder / "participant.db"
        mariadb.run(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        mariadb.run(f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'")
        mariadb.run(f"GRANT ALL ON {DATABASE}.* TO '{USER}'@'%'")
        for dialect in (MYSQL, POSTGRESQL, SQLITE):
            with closing(self.admin(dialect)) as connection:
                create_table(connection)
                connection.cursor().execute(LEDGER)
        for statement in CHECKED_LATE:
            self.rows(POSTGRESQL, statement)

    def admin(self, dialect: str) -> Any:
        """A connection to look around with."""
        if dialect == MYSQL:
            return pymysql.connect(**self.mysql, autocommit=True)
        if dialect == POSTGRESQL:
            return psycopg.connect(self.postgresql, autocommit=True)
        return sqlite3.connect(self.file, isolation_level=None)

    def rows(self, dialect: str, query: str) -> list[tuple[Any, ...]]:
        """What a query finds that looks from outside; text as str."""
        with closing(self.admin(dialect)) as connection:
            cursor = connection.cursor()
            cursor.execute(query)
            rows = cursor.fetchall() if cursor.description else []
            found = [tuple(v.decode() if isinstance(v, bytes) else v for v in row) for row in rows]
            cursor.close()
        return found

    @property
    def mysql(self) -> dict[str, Any]:
        """Where MariaDB is, in the words of PyMySQL."""
        return {
            "host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD, "database": DATABASE,
        }  # fmt: skip


@dataclass
class Kind:
    """One kind of connection. open(places) -> a connection, or an awaitable of one; run(connection, sql, values)."""

    name: str
    dialect: str
    open: Callable[[Places], Any]
    run: Callable[[Any, str, tuple[Any, ...]], Any]
    style: str = "format"
    autocommit: bool = False
    places: Places = field(init=False)

    @property
    def asynchronous(self) -> bool:
        return inspect.iscoroutinefunction(self.run)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Any]:
        """A connection, closed at the end."""
        connection = await settled(self.open(self.places))
        try:
            yield connection
        finally:
            closed = getattr(connection, "ensure_closed", connection.close)()  # aiomysql and asyncmy say goodbye
            await settled(closed)

    def do(self, connection: Any, sql: str, values: tuple[Any, ...] = ()) -> Any:
        """Run a statement with ? for values; its rows; to be awaited if the kind is asynchronous."""
        number = iter(range(1, len(values) + 1))
        mark = {"format": "%s", "qmark": "?", "numeric": "${}", "named": ":p{}"}[self.style]
        return self.run(connection, re.sub(r"\?", lambda _: mark.format(next(number)), sql), values)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.places.rows(self.dialect, query)

    def ops(self, gid: str) -> list[str]:
        """What the business has done of a transaction."""
        return sorted(op for (op,) in self.rows(f"SELECT op FROM ledger WHERE gid = '{gid}'"))

    def barrier(self, gid: str) -> list[tuple[Any, ...]]:
        """The barrier's rows of a transaction: op, barrier_id, reason."""
        table = "barrier" if self.dialect == SQLITE else "dtm_barrier.barrier"
        return sorted(self.rows(f"SELECT op, barrier_id, reason FROM {table} WHERE gid = '{gid}'"))


async def settled(value: Any) -> Any:
    """The value, or what comes of it when it is awaited."""
    return await value if inspect.isawaitable(value) else value


def _blocking(connection: Any, sql: str, values: tuple[Any, ...]) -> Any:
    with closing(connection.cursor()) as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall() if cursor.description else []


async def _awaiting(connection: Any, sql: str, values: tuple[Any, ...]) -> Any:
    async with connection.cursor() as cursor:
        await cursor.execute(sql, values)
        return await cursor.fetchall() if cursor.description else []


async def _asyncpg(connection: Any, sql: str, values: tuple[Any, ...]) -> Any:
    return await connection.fetch(sql, *values)


def _text(sql: str, values: tuple[Any, ...]) -> tuple[Any, dict[str, Any]]:
    return sqlalchemy.text(sql), {f"p{number}": value for number, value in enumerate(values, start=1)}


def _alchemy(connection: Any, sql: str, values: tuple[Any, ...]) -> Any:
    result = connection.execute(*_text(sql, values))
    return result.fetchall() if result.returns_rows else []


async def _async_alchemy(connection: Any, sql: str, values: tuple[Any, ...]) -> Any:
    result = await connection.execute(*_text(sql, values))
    return result.fetchall() if result.returns_rows else []


def _mysql(connect: Callable[..., Any], **arguments: Any) -> Callable[[Places], Any]:
    return lambda places: connect(**places.mysql, **arguments)


def aiomysql_connect(*, database: str, **arguments: Any) -> Any:
    """aiomysql has another word for the database."""
    return aiomysql.connect(db=database, **arguments)


def _alchemy_of(driver: str, make: Callable[[Any], Any], autocommit: bool) -> Callable[[Places], Any]:
    """Opens what `make` makes of an engine. Of `driver` in SQLAlchemy's words."""
    engines: dict[str, Any] = {}

    def opened(places: Places) -> Any:
        dialect = driver.partition("+")[0]
        url = {
            MYSQL: f"{driver}://{USER}:{PASSWORD}@127.0.0.1:{places.port}/{DATABASE}",
            POSTGRESQL: places.postgresql.replace("postgresql", driver),
            SQLITE: f"{driver}:///{places.file}",
        }[dialect]
        create = create_async_engine if driver.rpartition("+")[2] in ASYNC_DRIVERS else sqlalchemy.create_engine
        options = {"isolation_level": "AUTOCOMMIT"} if autocommit else {}
        if url not in engines:
            engines[url] = create(url, poolclass=NullPool, **options)
        return make(engines[url])

    return opened


ASYNC_DRIVERS = {"aiomysql", "asyncmy", "asyncpg", "aiosqlite", "psycopg_async"}


def _kinds(autocommit: bool) -> list[Kind]:
    def alchemy(name: str, driver: str, make: Callable[[Any], Any]) -> Kind:
        run = _async_alchemy if driver.rpartition("+")[2] in ASYNC_DRIVERS else _alchemy
        return Kind(f"{name} {driver}", driver.partition("+")[0], _alchemy_of(driver, make, autocommit), run, "named")

    def connection(engine: Any) -> Any:
        return engine.connect()

    threads: dict[str, Any] = {"check_same_thread": False}
    isolation: dict[str, Any] = {"isolation_level": None} if autocommit else {}
    kinds = [
        Kind("pymysql", MYSQL, _mysql(pymysql.connect, autocommit=autocommit), _blocking),
        Kind("mysqlclient", MYSQL, _mysql(MySQLdb.connect, autocommit=autocommit), _blocking),
        Kind("aiomysql", MYSQL, _mysql(aiomysql_connect, autocommit=autocommit), _awaiting),
        Kind("asyncmy", MYSQL, _mysql(asyncmy.connect, autocommit=autocommit), _awaiting),
        Kind("psycopg", POSTGRESQL, lambda at: psycopg.connect(at.postgresql, autocommit=autocommit), _blocking),
        Kind(
            "psycopg async", POSTGRESQL,
            lambda at: psycopg.AsyncConnection.connect(at.postgresql, autocommit=autocommit), _awaiting,
        ),
        Kind("sqlite3", SQLITE, lambda at: sqlite3.connect(at.file, **threads, **isolation), _blocking, "qmark"),
        Kind("aiosqlite", SQLITE, lambda at: aiosqlite.connect(at.file, **isolation), _awaiting, "qmark"),
        alchemy("Connection", "mysql+pymysql", connection),
        alchemy("Session", "mysql+mysqldb", Session),
        alchemy("AsyncConnection", "mysql+aiomysql", connection),
        alchemy("AsyncSession", "mysql+asyncmy", AsyncSession),
        alchemy("Connection", "postgresql+psycopg", connection),
        alchemy("Session", "postgresql+psycopg", Session),
        alchemy("AsyncConnection", "postgresql+asyncpg", connection),
        alchemy("AsyncSession", "postgresql+psycopg_async", AsyncSession),
        alchemy("Connection", "sqlite+pysqlite", connection),
        alchemy("AsyncSession", "sqlite+aiosqlite", AsyncSession),
    ]  # fmt: skip
    if autocommit:
        for kind in kinds:
            kind.name += " in autocommit"
            kind.autocommit = True
        kinds.append(alchemy("AsyncSession in autocommit", "postgresql+asyncpg", AsyncSession))
    else:
        kinds.append(Kind("asyncpg", POSTGRESQL, lambda at: asyncpg.connect(at.postgresql), _asyncpg, "numeric"))
    return kinds


PLAIN = _kinds(autocommit=False)
ALL = PLAIN + _kinds(autocommit=True)


async def at_once(kind: Kind, *works: Callable[[], Any]) -> list[Any]:
    """What comes of several works that are done at the same time: on threads, or as tasks; errors are raised."""
    if kind.asynchronous:
        return list(await asyncio.gather(*(work() for work in works)))
    return list(await asyncio.gather(*(asyncio.to_thread(work) for work in works)))
