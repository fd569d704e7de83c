"""Connections to a MySQL or MariaDB server: each statement gets one for itself, and a time-out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aiomysql
from aiomysql.connection import MySQLResult

from dtm.core.deadline import Deadline
from dtm.core.store.mysql_address import Address
from dtm.core.store.mysql_errors import Fate, StatementError, while_connecting, while_running
from dtm.core.store.mysql_sql import SESSION
from dtm.core.values import quick

GOODBYE = 1.0
"""Seconds to close a connection in an orderly way."""

CLIENT_SSL = 1 << 11
"""The capability with which a server offers TLS."""

TLS_ERROR = 2026

COM_QUERY = 3
"""The protocol's command that runs a statement."""

Row = tuple[Any, ...]


@quick
@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement returned: rows, how many rows it changed, the value of its LAST_INSERT_ID(...)."""

    rows: Sequence[Row]
    changed: int
    insert_id: int


class Connection(aiomysql.Connection):  # type: ignore[misc]  # the driver has no types
    """One connection in our session settings; never gives a password away unencrypted.

    Statements go past the driver's cursors, which cost more than all else here, and which ask for warnings to raise
    them as Python's: in strict mode they are errors.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._overdue = False
        self._deadline = Deadline(self._abort)

    async def run(self, sql: str, within: float) -> Answer:
        """Run a statement, in `within` seconds at most. StatementError."""
        self._deadline.put(within)
        try:
            await self._execute_command(COM_QUERY, sql)
            return await self._answer()
        except Exception as error:  # the driver's own, the socket's, or what it makes of bytes that are no MySQL
            if self._overdue:
                raise StatementError(Fate.UNKNOWN, 0, "the database has not answered in time") from error
            raise while_running(error) from error
        finally:
            self._deadline.lift()

    async def _answer(self) -> Answer:
        packet = await self._read_packet()
        if packet.is_ok_packet():
            packet.advance(1)
            return Answer((), packet.read_length_encoded_integer(), packet.read_length_encoded_integer())
        result = MySQLResult(self)
        await result._read_result_packet(packet)
        return Answer(result.rows, result.affected_rows, 0)

    def _abort(self) -> None:
        """The deadline has passed: whoever waits for an answer hears that the connection is lost."""
        self._overdue = True
        if self._writer is not None:
            self._writer.transport.abort()

    @property
    def dead(self) -> bool:
        """Whether it has been given up, or the server has hung up."""
        return bool(self._overdue or self.closed or self._reader.eof_received)

    async def hang_up(self) -> None:
        """Say goodbye; return when the socket is closed."""
        writer = self._writer
        if writer is None:
            return
        with contextlib.suppress(OSError):  # of which TimeoutError is one
            async with asyncio.timeout(GOODBYE):
                await self.ensure_closed()
                await writer.wait_closed()
        self.close()

    async def _request_authentication(self) -> None:
        # The driver would go on without TLS when the server offers none, and whoever sits in between says it does not.
        encrypted = self._ssl_context is not None
        if encrypted and not self.server_capabilities & CLIENT_SSL:
            raise aiomysql.OperationalError(TLS_ERROR, "the server offers no TLS")
        _refuse_clear_text(self._server_auth_plugin, encrypted)
        await super()._request_authentication()

    async def _process_auth(self, plugin_name: bytes, auth_packet: Any) -> Any:
        _refuse_clear_text(plugin_name.decode(), self._ssl_context is not None)
        return await super()._process_auth(plugin_name, auth_packet)


def _refuse_clear_text(plugin: str, encrypted: bool) -> None:
    if plugin == "mysql_clear_password" and not encrypted:
        raise aiomysql.OperationalError(TLS_ERROR, "the server wants the password in clear text: use TLS")


async def connect(
    address: Address, within: float, *, into_database: bool = True, session: Sequence[str] = SESSION
) -> Connection:
    """A connection that has said `session`, in `within` seconds at most. StatementError: NOT_NOW."""
    connection = Connection(
        host=address.host,
        port=address.port,
        user=address.user,
        password=address.password.encode().decode("latin-1"),  # which the driver turns back into these bytes
        db=address.database if into_database else None,
        charset="utf8mb4",
        autocommit=True,
        ssl=address.tls,
        program_name="dtm",
    )
    try:
        async with asyncio.timeout(within):
            await connection.ping()  # which connects; the driver's own connect() leaves a half-made one behind
            for statement in session:
                await connection.run(statement, within)
    except StatementError as error:
        connection.close()
        raise StatementError(Fate.NOT_NOW, error.code, str(error)) from error
    except TimeoutError:
        connection.close()
        raise StatementError(Fate.NOT_NOW, 0, "no connection could be had in time") from None
    except BaseException as error:
        connection.close()
        if isinstance(error, Exception):
            raise while_connecting(error) from error
        raise
    return connection


class Pool:
    """Up to `size` connections, made when they are needed; `session`: what each says first.

    One that is in use stands in a set: asyncio alone would let the garbage collector have it. After a trouble that is
    not a row's own the spare ones are given up too: they lead to the same server, or to the same broken path.
    """

    def __init__(self, address: Address, size: int) -> None:
        self.session: Sequence[str] = SESSION
        self._address = address
        self._room = asyncio.Semaphore(size)
        self._spare: list[Connection] = []
        self._busy: set[Connection] = set()
        self._closed = False

    async def run(self, sql: str, within: float) -> Answer:
        """Run a statement, in `within` seconds at most with all waiting. StatementError."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + within
        connection = await self._take(deadline, clock)
        fine = False
        try:
            answer = await connection.run(sql, deadline - clock())
            fine = True
        except StatementError as error:
            fine = error.fate in (Fate.AGAIN, Fate.VALUE)
            raise
        finally:
            self._give_back(connection, fine)
        return answer

    async def close(self) -> None:
        """Close all connections, also those in use."""
        self._closed = True
        connections = [*self._spare, *self._busy]
        self._spare.clear()
        await asyncio.gather(*(connection.hang_up() for connection in connections))

    async def _take(self, deadline: float, clock: Callable[[], float]) -> Connection:
        if self._room.locked():
            await self._wait_for_room(deadline)
        else:
            await self._room.acquire()  # at once
        try:
            connection = self._pick() or await connect(self._address, deadline - clock(), session=self.session)
        except BaseException:
            self._room.release()
            raise
        self._busy.add(connection)
        return connection

    async def _wait_for_room(self, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await self._room.acquire()
        except TimeoutError:
            raise StatementError(Fate.NOT_NOW, 0, "no connection became free in time") from None

    def _pick(self) -> Connection | None:
        """The spare connection that was used last, if there is one that lives."""
        if self._closed:
            raise StatementError(Fate.NOT_NOW, 0, "the store is closed")
        while self._spare:
            connection = self._spare.pop()
            if not connection.dead:
                return connection
            connection.close()
        return None

    def _give_back(self, connection: Connection, fine: bool) -> None:
        self._busy.discard(connection)
        self._room.release()
        if fine and not self._closed:
            self._spare.append(connection)
            return
        connection.close()
        for spare in self._spare:
            spare.close()
        self._spare.clear()
