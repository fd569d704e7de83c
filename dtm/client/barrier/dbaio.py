"""Links to asynchronous connections: aiomysql, asyncmy, asyncpg, psycopg 3, aiosqlite."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from typing import Any

from dtm.client.barrier.dbapi import IDLE, IN_TRANSACTION, plain_cursor
from dtm.client.barrier.links import AsyncLink, Rows, Values, refuse_open


class _WithCursors(AsyncLink):
    """What all but asyncpg have: cursors."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def execute(self, sql: str, values: Values) -> int:
        async with self._cursor() as cursor:
            await cursor.execute(sql, values)
            return int(cursor.rowcount)

    async def fetch(self, sql: str, values: Values) -> Rows:
        async with self._cursor() as cursor:
            await cursor.execute(sql, values)
            rows: Rows = await cursor.fetchall()
            return rows

    async def commit(self) -> None:
        await self._connection.commit()

    async def rollback(self) -> None:
        await self._connection.rollback()

    @abstractmethod
    def _cursor(self) -> AbstractAsyncContextManager[Any]:
        """A cursor whose rows are tuples."""


class AsyncMySQL(_WithCursors):
    """asyncmy. BEGIN would commit an open transaction in silence, so we look first."""

    dialect, style = "mysql", "format"

    async def begin(self) -> None:
        refuse_open(bool(self._connection.server_status & IN_TRANSACTION))
        await self._connection.begin()

    def _cursor(self) -> AbstractAsyncContextManager[Any]:
        cursor: AbstractAsyncContextManager[Any] = self._connection.cursor(plain_cursor(self._connection))
        return cursor


class AioMySQL(AsyncMySQL):
    """aiomysql, whose cursors ask for each row that is there already what the server has to say, and warn in Python."""

    async def execute(self, sql: str, values: Values) -> int:
        async with self._cursor() as cursor:
            return int(await self._connection.query(cursor.mogrify(sql, values)))


class AsyncSQLite(_WithCursors):
    """aiosqlite. IMMEDIATE: who has read before it writes cannot wait for another writer.

    With `autocommit=False` (Python 3.12) a transaction is open at any time, which is refused.
    """

    dialect, style = "sqlite", "qmark"

    async def begin(self) -> None:
        refuse_open(self._connection.in_transaction)
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
        except BaseException:  # if cancelled, the thread behind the connection may begin it all the same
            await self._connection.rollback()
            raise

    async def commit(self) -> None:
        await self._connection.execute("COMMIT")  # with autocommit=True commit() does nothing

    async def rollback(self) -> None:
        if self._connection.in_transaction:  # some errors have rolled it back already
            await self._connection.execute("ROLLBACK")

    @asynccontextmanager
    async def _cursor(self) -> AsyncIterator[Any]:
        async with self._connection.cursor() as cursor:
            cursor.row_factory = None
            yield cursor


class AsyncPsycopg(_WithCursors):
    """psycopg 3, by its own transaction block: in there it refuses that the business commits."""

    dialect, style = "postgresql", "format"
    _block: Any = None

    async def begin(self) -> None:
        refuse_open(self._connection.info.transaction_status != IDLE)
        block = self._connection.transaction()
        await block.__aenter__()
        self._block = block

    async def commit(self) -> None:
        block, self._block = self._block, None
        await block.__aexit__(None, None, None)

    async def rollback(self) -> None:
        if self._block is None:  # the commit has failed, and that has ended the block
            await self._connection.rollback()
        else:
            error = RuntimeError("rolled back")
            await self._block.__aexit__(type(error), error, None)

    def _cursor(self) -> AbstractAsyncContextManager[Any]:
        cursor: AbstractAsyncContextManager[Any] = self._connection.cursor(
            row_factory=import_module("psycopg.rows").tuple_row
        )
        return cursor


class Asyncpg(AsyncLink):
    """asyncpg, by its own transaction: only in there the business can have nested ones."""

    dialect, style = "postgresql", "numeric"
    _transaction: Any = None

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def begin(self) -> None:
        refuse_open(self._connection.is_in_transaction())
        transaction = self._connection.transaction()
        await transaction.start()
        self._transaction = transaction

    async def execute(self, sql: str, values: Values) -> int:
        tag = await self._connection.execute(sql, *values)
        count = tag.rpartition(" ")[2]  # INSERT 0 1
        return int(count) if count.isdigit() else 0

    async def fetch(self, sql: str, values: Values) -> Rows:
        rows: Rows = await self._connection.fetch(sql, *values)
        return rows

    async def commit(self) -> None:
        transaction, self._transaction = self._transaction, None
        await transaction.commit()

    async def rollback(self) -> None:
        if self._transaction is not None:
            await self._transaction.rollback()
        elif self._connection.is_in_transaction():  # the commit was interrupted, and that has ended the object
            await self._connection.execute("ROLLBACK")
