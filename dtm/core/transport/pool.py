"""Connections: opened where the policy permits, kept alive while idle, all accounted for."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Sequence

from dtm.core.transport.allow import CallbackPolicy
from dtm.core.transport.base import NotSent
from dtm.core.transport.connection import Connection
from dtm.core.transport.origin import Origin
from dtm.core.transport.resolver import Resolver

_STOPPING = "the coordinator is stopping"


class Pool:
    """The connections of one transport, per origin; the last one put back is the first one taken.

    connect_timeout: seconds for resolving, connecting and TLS together. idle_limit: seconds after which an idle
    connection is closed. idle_per_host: how many idle ones are kept per origin. ssl_context: None = the system's
    authorities (and SSL_CERT_FILE).
    """

    def __init__(
        self,
        *,
        allow: CallbackPolicy,
        connect_timeout: float,
        idle_limit: float,
        idle_per_host: int,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        self._allow = allow
        self._connect_timeout = connect_timeout
        self._idle_limit = idle_limit
        self._idle_per_host = idle_per_host
        self._ssl_context = ssl_context
        self._resolver = Resolver()
        self._idle: dict[str, list[Connection]] = {}
        # The event loop keeps weak references only: what is in use must be held here.
        self._open: set[Connection] = set()
        self._dials: set[asyncio.Task[Connection]] = set()
        self.resends: set[asyncio.Task[None]] = set()
        """Calls that are being sent once more."""
        self._sweeper: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._closed = False

    def take(self, origin: Origin) -> Connection | None:
        """An idle connection to this origin, if there is one."""
        idle = self._idle.get(origin.key)
        while idle:
            connection = idle.pop()
            if connection.fresh(self._idle_limit):
                return connection
            connection.close()
        return None

    def put(self, origin: Origin, connection: Connection) -> None:
        """Give a connection back: it is kept if it may be used again, else closed."""
        idle = self._idle.get(origin.key)
        if self._closed or not connection.usable or len(idle or ()) >= self._idle_per_host:
            connection.close()
            return
        connection.rest()
        if idle is None:
            idle = self._idle[origin.key] = []
        idle.append(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(self._idle_limit, self._sweep)

    def _sweep(self) -> None:
        for key, idle in list(self._idle.items()):
            for connection in idle:
                if not connection.fresh(self._idle_limit):
                    connection.close()
            self._idle[key] = [connection for connection in idle if connection.usable]
            if not self._idle[key]:
                del self._idle[key]
        again = asyncio.get_running_loop().call_later
        self._sweeper = again(self._idle_limit / 2, self._sweep) if self._idle else None

    async def dial(self, origin: Origin, timeout: float) -> Connection:
        """A new connection, within `timeout` seconds or the pool's own limit. NotSent: there is none."""
        if self._closed:
            raise NotSent(_STOPPING)
        # A task of its own, so that close() can end what still connects.
        task = asyncio.create_task(self._dial(origin, min(timeout, self._connect_timeout)))
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            task.cancel()
            task.add_done_callback(_close_unwanted)
            raise
        if task.cancelled():
            raise NotSent(_STOPPING)
        return task.result()

    async def _dial(self, origin: Origin, limit: float) -> Connection:
        deadline = asyncio.get_running_loop().time() + limit
        try:
            async with asyncio.timeout(limit):
                addresses = await self._addresses(origin)
            return await self._connect(origin, addresses, deadline)
        except TimeoutError:
            raise NotSent(f"no connection within {limit:g} s: {origin.place}") from None

    async def _connect(self, origin: Origin, addresses: Sequence[str], deadline: float) -> Connection:
        """The first connection that any of the addresses gives; TimeoutError if the last one gave no answer."""
        last: Exception = TimeoutError()
        for tried, address in enumerate(addresses):
            # An address that swallows packets must leave time for the others.
            share = (deadline - asyncio.get_running_loop().time()) / (len(addresses) - tried)
            try:
                async with asyncio.timeout(share):
                    return await self._open_one(origin, address)
            except OSError as error:
                last = error
        if isinstance(last, TimeoutError):
            raise last
        raise NotSent(f"{_reason(last)}: {origin.place}") from last

    async def _addresses(self, origin: Origin) -> Sequence[str]:
        """Where to connect, of all addresses of the origin those that are permitted."""
        found = (origin.host,) if origin.literal else await self._resolver.addresses(origin.host)
        permitted = [address for address in found if self._allow.permits(origin.host, origin.port, address)]
        if not permitted:
            via = "" if origin.literal else f" ({found[0]})"
            raise NotSent(f"calling {origin.place}{via} is not allowed by callbacks.allow")
        return permitted

    async def _open_one(self, origin: Origin, address: str) -> Connection:
        secure = origin.scheme == "https"
        if secure and self._ssl_context is None:
            self._ssl_context = ssl.create_default_context()
        connection = Connection(self._open.add, self._lost)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: connection,
                address,
                origin.port,
                ssl=self._ssl_context if secure else None,
                server_hostname=origin.host.rstrip(".") if secure else None,
            )
        except BaseException:
            self._lost(connection)  # uvloop closes what was connected already without a word to its protocol
            raise
        return connection

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if not self._open:
            self._empty.set()

    async def close(self) -> None:
        """Close everything, and wait until it is closed. Idempotent."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._idle.clear()
        for dial in self._dials:
            dial.cancel()
        await asyncio.gather(*self._dials, return_exceptions=True)
        self._resolver.close()
        self._empty.clear()
        for connection in tuple(self._open):
            connection.close()
        if self._open:
            await self._empty.wait()


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS certificate refused ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error})"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error) or "no connection"


def _close_unwanted(dial: asyncio.Task[Connection]) -> None:
    if not dial.cancelled() and dial.exception() is None:
        dial.result().close()
