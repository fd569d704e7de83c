"""What `dtm barrier` does: open a participant's database by its URL, make the barrier's table there, purge it."""

from __future__ import annotations

import inspect
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiomysql

from dtm.client import barrier
from dtm.core.errors import StartupError
from dtm.core.store.mysql_address import parse_address

EXPECTED = (
    "expected mysql://USER:PASSWORD@HOST:3306/, postgresql://USER:PASSWORD@HOST/DATABASE, sqlite:///FILE "
    "or sqlite:////ABSOLUTE/FILE"
)


async def create(url: str, table: str | None) -> str:
    """Make the table; what to say about it. StartupError."""
    async with _opened(url) as connection:
        await _settled(barrier.create_table(connection, table=table))
    return f"the barrier's table is there: {table or 'by its usual name'}"


async def purge(url: str, table: str | None, age: float) -> str:
    """Delete rows older than `age` seconds; what to say about it. StartupError."""
    async with _opened(url) as connection:
        many = await _settled(barrier.purge(connection, timedelta(seconds=age), table=table))
    return f"{many} rows deleted"


async def _settled(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Any]:
    """A connection to the database that a URL names; StartupError for all that goes wrong, without its password."""
    openers = {"mysql": _mysql, "postgresql": _postgresql, "sqlite": _sqlite}
    try:
        parts = urlsplit(url)
    except ValueError:
        raise StartupError(f"--db: {EXPECTED}") from None
    if parts.scheme not in openers:
        raise StartupError(f"--db: {EXPECTED}")
    connection = None
    try:
        connection = await openers[parts.scheme](url)
        yield connection
    except StartupError:
        raise
    except Exception as error:  # of drivers that may not be installed
        where = parts.path[1:] if parts.scheme == "sqlite" else parts.hostname
        raise StartupError(f"--db: {parts.scheme} {where}: {' '.join(str(error).split())}") from error
    finally:
        if connection is not None:
            connection.close()


async def _mysql(url: str) -> Any:
    """A URL may leave the database out: the table's name has one of its own."""
    parts = urlsplit(url)
    database = parts.path.strip("/")
    try:
        address = parse_address(url if database else urlunsplit(parts._replace(path="/mysql")))
    except StartupError as error:
        raise StartupError(f"--db: {str(error).removeprefix('store: ')}") from None
    return await aiomysql.connect(
        host=address.host,
        port=address.port,
        user=address.user,
        password=address.password.encode().decode("latin-1"),  # which the driver turns back into these bytes
        db=address.database if database else None,
        ssl=address.tls,
    )


async def _postgresql(url: str) -> Any:
    try:
        import psycopg  # noqa: PLC0415 - whoever has no PostgreSQL need not have it
    except ImportError:
        raise StartupError("--db: PostgreSQL needs psycopg here: pip install 'psycopg[binary]'") from None
    return psycopg.connect(url)


async def _sqlite(url: str) -> Any:
    path = urlsplit(url).path[1:]
    if not path:
        raise StartupError(f"--db: {EXPECTED}")
    return sqlite3.connect(path)
