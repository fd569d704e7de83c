"""The HTTP server: Tornado's, or one on httptools, with the same limits, which one bad client cannot talk it out of."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Sequence

from dtm.core.web.api import Api
from dtm.core.web.connection import Connection
from dtm.core.web.exchange import ExchangeServer
from dtm.core.web.limits import MAX_DROPPED, MAX_HEADERS, Limits
from dtm.core.web.requests import RequestReader
from dtm.core.web.stream import Stream

IDLE_TIMEOUT = 75.0
BODY_TIMEOUT = 30.0
TORNADO, HTTPTOOLS = "tornado", "httptools"


class Server(ABC):
    """Serves one API."""

    def __init__(self) -> None:
        self._listeners: list[asyncio.Server] = []

    async def serve(self, sockets: Sequence[socket.socket]) -> None:
        """Accept connections on these sockets, which listen already."""
        loop = asyncio.get_running_loop()
        self._listeners += [await loop.create_server(self._connection, sock=sock, backlog=1024) for sock in sockets]

    def stop(self) -> None:
        """Accept no more connections."""
        for listener in self._listeners:
            listener.close()

    @abstractmethod
    async def close_all_connections(self) -> None:
        """Close what is open; return when it is closed. What clients have not taken is thrown away, at the latest when
        this is cancelled.
        """

    @abstractmethod
    def _connection(self) -> asyncio.Protocol:
        """What serves a connection that a client opens."""


def make_server(
    api: Api,
    kind: str = TORNADO,
    *,
    idle_timeout: float = IDLE_TIMEOUT,
    body_timeout: float = BODY_TIMEOUT,
) -> Server:
    """Return a server that does not serve yet. `kind`: tornado or httptools.

    `idle_timeout` (s): from the end of one request, or of connecting, until the next one's headers have all arrived.
    Headers that trickle in hold a connection no longer than saying nothing would. `body_timeout` (s): from the headers
    until the whole body has arrived. Past either the connection is closed without a word.
    A request that is under way goes on when its client leaves.
    """
    limits = Limits(idle_timeout=idle_timeout, body_timeout=body_timeout)
    return HttptoolsServer(api, limits) if kind == HTTPTOOLS else TornadoServer(api, limits)


class TornadoServer(Server):
    """Tornado's own."""

    def __init__(self, api: Api, limits: Limits) -> None:
        super().__init__()
        self._server = ExchangeServer(
            api,
            limits,
            max_body_size=MAX_DROPPED,
            xheaders=False,
            decompress_request=False,
            max_header_size=MAX_HEADERS,
        )

    async def close_all_connections(self) -> None:
        """As Server says."""
        await self._server.close_all_connections()

    def _connection(self) -> Stream:
        return Stream(self._server.handle_stream, self._server.limits)


class HttptoolsServer(Server):
    """Protocols of asyncio."""

    def __init__(self, api: Api, limits: Limits) -> None:
        super().__init__()
        self._api = api
        self._limits = limits
        # The event loop keeps weak references only: what is open must be held here.
        self._connections: set[Connection] = set()
        self._none_open = asyncio.Event()

    async def close_all_connections(self) -> None:
        """As Server says."""
        for connection in tuple(self._connections):
            connection.close()
        try:
            while self._connections:
                self._none_open.clear()
                await self._none_open.wait()
        finally:
            for connection in tuple(self._connections):
                connection.abort()

    def _connection(self) -> Connection:
        return Connection(self._api, RequestReader(), self._limits, self._connections, self._none_open.set)
