"""One call under way: the connection that carries it, or, when that was dead already, the task that sends it anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from dtm.core.transport.base import CallFailed, NotSent, Outgoing, Over, Reply, Withdrawn
from dtm.core.transport.connection import Connection, NoReplyBegun
from dtm.core.transport.origin import Origin
from dtm.core.transport.pool import Pool


@dataclass(frozen=True, slots=True)
class Address:
    """Where a URL leads; `head` is what every request there says: its headers, and the empty line after them."""

    origin: Origin
    target: str
    head: bytes


class Exchange:
    """Sends a call, and tells `over` what came of it, unless it is cut off.

    A kept connection that ends before any byte of the reply says nothing about the peer: a new one is tried, once.
    """

    __slots__ = ("_address", "_anew", "_connection", "_gate", "_kept", "_outgoing", "_over", "_pool")

    def __init__(self, pool: Pool, address: Address, outgoing: Outgoing, gate: Callable[[], bool], over: Over) -> None:
        self._pool = pool
        self._address = address
        self._outgoing = outgoing
        self._gate = gate
        self._over = over
        self._connection: Connection | None = None
        self._kept = False
        self._anew: asyncio.Task[None] | None = None

    async def dial_and_send(self) -> None:
        """Send it on a new connection. NotSent, Withdrawn."""
        origin = self._address.origin
        connection = await self._pool.dial(origin, self._outgoing.timeout)
        if not connection.usable:
            self._pool.put(origin, connection)
            raise NotSent(f"connection closed before the call: {origin.place}")
        self.send(connection)

    def send(self, connection: Connection) -> None:
        """Send it now, on a connection that is usable. Withdrawn: the gate said no."""
        begins = False
        try:
            begins = self._gate()
        finally:
            if not begins:
                self._pool.put(self._address.origin, connection)
        if not begins:
            raise Withdrawn("withdrawn before it was sent")
        self._connection, self._kept = connection, connection.used
        connection.send(self._request(), self._outgoing.timeout, self._ended)

    def _request(self) -> bytes:
        """Its bytes, with the epoch as it is now."""
        address, outgoing = self._address, self._outgoing
        body, epoch = outgoing.body, outgoing.epoch()
        length = f"Content-Length: {len(body)}\r\n" if body or outgoing.method != "GET" else ""
        told = f"dtm-epoch: {epoch}\r\n" if epoch else ""
        start = f"{outgoing.method} {address.target}{outgoing.query} HTTP/1.1\r\n{length}{told}"
        return start.encode() + address.head + body

    def cut_off(self) -> None:
        """Close its connection; nobody is told. Nothing happens when it is over."""
        if self._anew is not None:
            self._anew.cancel()
        elif self._connection is not None:
            self._connection.cut_off()

    def _ended(self, result: Reply | BaseException) -> None:
        connection, self._connection = self._connection, None
        assert connection is not None
        self._pool.put(self._address.origin, connection)
        if self._kept and isinstance(result, NoReplyBegun):
            self._anew = asyncio.get_running_loop().create_task(self._send_anew())
            self._pool.resends.add(self._anew)
            self._anew.add_done_callback(self._pool.resends.discard)
        else:
            self._over(result)

    async def _send_anew(self) -> None:
        try:
            await self.dial_and_send()
        except (NotSent, Withdrawn) as reason:
            self._over(CallFailed(f"connection closed before the reply began; not sent again: {reason}"))
        except Exception as error:
            self._over(error)
        self._anew = None
