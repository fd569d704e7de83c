"""A bank's books in MySQL or MariaDB, changed by XA transactions: what mode `xa` asks of a participant's database.

In phase 1 the database takes the change in and promises to keep it ready (`XA PREPARE`), in phase 2 it makes it final.
In between nobody sees the change, its rows are locked, and it outlives the connection and the server's crash.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiomysql

from dtm.core.store.mysql_address import Address
from dtm.core.store.mysql_pool import Connection, connect
from dtm.demo.ledger import Call, Refused

SCHEMA = (
    "CREATE TABLE account (balance BIGINT NOT NULL) ENGINE = InnoDB",
    # The reason is the op that wrote the row: another one than `op` if that op is barred from happening.
    "CREATE TABLE barrier (gid VARBINARY(128), branch_id VARBINARY(128), op VARBINARY(45), reason VARBINARY(45),"
    " PRIMARY KEY (gid, branch_id, op)) ENGINE = InnoDB",
)

PATIENCE = 5.0
"""Seconds for one statement."""

UNKNOWN_XID = 1397
"""XAER_NOTA: the database does not know this XA transaction, or not yet."""


class XaBooks:
    """One account. Not `accepting`: whatever phase 1 asks for is refused. The driver's errors go through."""

    def __init__(self, address: Address, *, accepting: bool = True) -> None:
        self.accepting = accepting
        self._address = address
        self._begun: list[str] = []

    async def open(self, balance: int) -> None:
        """Make the tables in an empty database, and the account."""
        async with self._connection() as db:
            for statement in SCHEMA:
                await run(db, statement)
            await run(db, "INSERT INTO account VALUES (%s)", balance)

    async def close(self) -> None:
        """Take back what was left prepared: nobody will come any more to end it."""
        async with self._connection() as db:
            for xid in self._begun:
                with suppress(aiomysql.MySQLError):
                    await run(db, "XA ROLLBACK %s", xid)

    async def prepare(self, call: Call, change: int, register: Callable[[], Awaitable[None]]) -> None:
        """Phase 1: add `change` to the balance, have the branch registered, and make the promise. Raises Refused.

        Registering stands inside: a coordinator that has decided already refuses it, and so nothing is prepared that
        nobody would end. Nothing is kept when anything goes wrong before the end.
        """
        async with self._connection() as db:
            xid = _xid(call)
            self._begun.append(xid)
            await run(db, "XA START %s", xid)
            try:
                await self._change(db, call, change)
                await register()
                await run(db, "XA END %s", xid)
                await run(db, "XA PREPARE %s", xid)
            except BaseException:
                await _abandon(db, xid)
                raise
            mine = db.thread_id()
        await self._let_go(mine)

    async def commit(self, call: Call) -> None:
        """Phase 2: make it final. A call that is repeated finds no XA transaction any more, but its effect."""
        async with self._connection() as db:
            try:
                await run(db, "XA COMMIT %s", _xid(call))
            except aiomysql.MySQLError as error:
                if error.args[0] != UNKNOWN_XID or (call.branch_id, "action") not in await self.effects(call.gid):
                    raise

    async def rollback(self, call: Call) -> None:
        """Phase 2: take it back, if it ever came to anything, and bar it from happening later.

        The barrier's row is the one that phase 1 writes too: this waits for a phase 1 that is still at work, and fails
        when that takes long, so that it is called again.
        """
        async with self._connection() as db:
            try:
                await run(db, "XA ROLLBACK %s", _xid(call))
            except aiomysql.MySQLError as error:
                if error.args[0] != UNKNOWN_XID:
                    raise
            await self._mark(db, call, "rollback")

    async def balance(self) -> int:
        """The balance as everybody sees it."""
        async with self._connection() as db:
            return int((await run(db, "SELECT balance FROM account"))[0][0])

    async def effects(self, gid: str) -> list[tuple[str, str]]:
        """The committed effects of one transaction: (branch_id, op)."""
        async with self._connection() as db:
            rows = await run(db, "SELECT branch_id, op FROM barrier WHERE gid = %s AND reason = op", gid)
        return [(branch_id.decode(), op.decode()) for branch_id, op in rows]

    async def prepared(self, gid: str) -> list[str]:
        """What the server holds prepared of one transaction, in whichever database."""
        async with self._connection() as db:
            return [xid for xid in await prepared(db) if xid.startswith(f"{gid}-")]

    async def _change(self, db: Connection, call: Call, change: int) -> None:
        if not await self._mark(db, call, "action"):
            raise Refused("this branch was dealt with before")
        await run(db, "UPDATE account SET balance = balance + %s", change)
        if not self.accepting:
            raise Refused("the account is closed")
        if (await run(db, "SELECT balance FROM account"))[0][0] < 0:
            raise Refused("insufficient balance")

    async def _mark(self, db: Connection, call: Call, reason: str) -> bool:
        """Write the barrier's row; False when it is there already."""
        row = (call.gid, call.branch_id, "action", reason)
        statement = "INSERT INTO barrier VALUES (%s, %s, %s, %s) ON DUPLICATE KEY UPDATE gid = gid"
        await run(db, statement, *row)
        return bool(db.affected_rows())

    async def _let_go(self, thread: int) -> None:
        """Return when the server has noticed that a connection was closed: it keeps its XA transaction until then.

        MariaDB answers XAER_NOTA to a commit that comes earlier.
        """
        async with asyncio.timeout(PATIENCE), self._connection() as db:
            while any(row[0] == thread for row in await run(db, "SHOW PROCESSLIST")):
                pass  # to ask takes long enough

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        db = await connect(self._address, PATIENCE)
        try:
            yield db
        finally:
            await db.hang_up()


async def run(db: Connection, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows of one statement. aiomysql.MySQLError, TimeoutError."""
    async with asyncio.timeout(PATIENCE):
        cursor = await db.cursor()
        await cursor.execute(statement, values)
        return list(await cursor.fetchall())


async def prepared(db: Connection) -> list[str]:
    """The names of all XA transactions that the server holds prepared. aiomysql.MySQLError when we may not ask."""
    names = (row[3] for row in await run(db, "XA RECOVER"))
    return [name.decode(errors="replace") if isinstance(name, bytes) else name for name in names]


async def _abandon(db: Connection, xid: str) -> None:
    """Give an XA transaction up, in whichever state it is; a lost connection has done that by itself."""
    for statement in ("XA END %s", "XA ROLLBACK %s"):
        with suppress(aiomysql.MySQLError, OSError):
            await run(db, statement, xid)


def _xid(call: Call) -> str:
    return f"{call.gid}-{call.branch_id}"
