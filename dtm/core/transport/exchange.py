"""One call under way: the connection that carries it, or, when that was dead already, the task that sends it anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from dtm.core.transport.base import CallFailed, NotSent, Over, Reply, Withdrawn
from dtm.core.transport.connection import Connection, NoReplyBegun
from dtm.core.transport.origin import Origin
from dtm.core.transport.pool import Pool


@dataclass(slots=True, eq=False)
class Letter:
    """One call, addressed: its bytes before and after the epoch, which is told only when it is sent."""

    origin: Origin
    start: bytes
    rest: bytes
    timeout: float
    epoch: Callable[[], int]


class Exchange:
    """Sends a letter, and tells `over` what came of it, unless it is cut off.

    A kept connection that ends before any byte of the reply says nothing about the peer: a new one is tried, once.
    """

    __slots__ = ("_anew", "_connection", "_gate", "_kept", "_letter", "_over", "_pool")

    def __init__(self, pool: Pool, letter: Letter, gate: Callable[[], bool], over: Over) -> None:
        self._pool = pool
        self._letter = letter
        self._gate = gate
        self._over = over
        self._connection: Connection | None = None
        self._kept = False
        self._anew: asyncio.Task[None] | None = None

    async def dial_and_send(self) -> None:
        """Send it on a new connection. NotSent, Withdrawn."""
        origin = self._letter.origin
        connection = await self._pool.dial(origin, self._letter.timeout)
        if not connection.usable:
            self._pool.put(origin, connection)
            raise NotSent(f"connection closed before the call: {origin.place}")
        self.send(connection)

    def send(self, connection: Connection) -> None:
        """Send it now, on a connection that is usable. Withdrawn: the gate said no."""
        letter, begins = self._letter, False
        try:
            begins = self._gate()
        finally:
            if not begins:
                self._pool.put(letter.origin, connection)
        if not begins:
            raise Withdrawn("withdrawn before it was sent")
        self._connection, self._kept = connection, connection.used
        epoch = letter.epoch()
        line = b"dtm-epoch: %d\r\n" % epoch if epoch else b""
        connection.send(letter.start + line + letter.rest, letter.timeout, self._ended)

    def cut_off(self) -> None:
        """Close its connection; nobody is told. Nothing happens when it is over."""
        if self._anew is not None:
            self._anew.cancel()
        elif self._connection is not None:
            self._connection.cut_off()

    def _ended(self, result: Reply | BaseException) -> None:
        connection, self._connection = self._connection, None
        assert connection is not None
        self._pool.put(self._letter.origin, connection)
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
