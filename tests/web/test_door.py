"""The door: shut, it lets those who are inside finish, and refuses the rest for certain."""

from __future__ import annotations

import asyncio
import http.client

import pytest
from tornado.netutil import bind_sockets

from dtm.core.config import Settings
from dtm.core.web.base import BaseHandler
from dtm.core.web.door import Door
from dtm.core.web.routes import make_api
from dtm.core.web.server import HTTPTOOLS, TORNADO, make_server

every_server = pytest.mark.parametrize("kind", [TORNADO, HTTPTOOLS])


class Slow(BaseHandler):
    """Waits to be let go on."""

    go_on: asyncio.Event

    async def get(self) -> None:
        await self.go_on.wait()
        self.succeed()


def ask(connection: http.client.HTTPConnection, method: str, path: str) -> tuple[int, str | None]:
    connection.request(method, path)
    reply = connection.getresponse()
    reply.read()
    return reply.status, reply.headers["Connection"]


@every_server
async def test_the_door(kind: str) -> None:
    Slow.go_on, door = asyncio.Event(), Door()
    server = make_server(make_api(None, Settings(), [("/slow", Slow)], door=door), kind)
    (sock,) = bind_sockets(0, "127.0.0.1")
    await server.serve([sock])
    connections = [http.client.HTTPConnection("127.0.0.1", sock.getsockname()[1], timeout=10) for _ in range(3)]
    inside, kept, unknown = connections
    assert await door.emptied(0)
    assert await asyncio.to_thread(ask, kept, "GET", "/nowhere") == (404, None)
    answer = asyncio.create_task(asyncio.to_thread(ask, inside, "GET", "/slow"))
    while not door.inside:
        await asyncio.sleep(0.01)
    door.shut()
    assert await asyncio.to_thread(ask, kept, "GET", "/slow") == (503, "close")
    assert await asyncio.to_thread(ask, unknown, "GET", "/nowhere") == (404, "close")
    assert not await door.emptied(0.01)
    Slow.go_on.set()
    assert await door.emptied(10)
    assert await answer == (200, "close")
    server.stop()
    await server.close_all_connections()
    for connection in connections:
        connection.close()


@every_server
async def test_those_who_leave_early_are_not_waited_for_in_vain(kind: str) -> None:
    """A client that hangs up is still served; its request ends like any other."""
    Slow.go_on, door = asyncio.Event(), Door()
    server = make_server(make_api(None, Settings(), [("/slow", Slow)], door=door), kind)
    (sock,) = bind_sockets(0, "127.0.0.1")
    await server.serve([sock])
    _, writer = await asyncio.open_connection("127.0.0.1", sock.getsockname()[1])
    writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    while not door.inside:
        await asyncio.sleep(0.01)
    writer.close()
    await writer.wait_closed()
    assert not await door.emptied(0.05)
    Slow.go_on.set()
    assert await door.emptied(10)
    server.stop()
    await server.close_all_connections()
