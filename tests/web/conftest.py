"""A server with the real limits, a few handlers that need no service, and a client that speaks bytes."""

from __future__ import annotations

import asyncio

import pytest
from tornado.netutil import bind_sockets

from dtm.core.config import Settings
from dtm.core.errors import StoreUnavailable
from dtm.core.web.base import BaseHandler
from dtm.core.web.routes import ROUTES, make_api
from dtm.core.web.server import HTTPTOOLS, TORNADO, make_server


class Echo(BaseHandler):
    """Replies with what it understood."""

    def post(self):
        self.reply({"body": self.json_body()})

    def get(self):
        self.reply({"gid": self.text("gid"), "start": self.integer("start"), "limit": self.limit()})


class Began(BaseHandler):
    """Replies with the moment from which its time counts."""

    def get(self):
        self.reply({"began": self.request.began})


class Raise(BaseHandler):
    """Raises what the test put into `errors`."""

    errors = None

    def get(self, name):
        raise self.errors[name]


class Slow(BaseHandler):
    """Begins, waits until it may go on, and leaves a trace of having ended."""

    begun, go_on, ended = None, None, None

    async def post(self):
        self.begun.set()
        await self.go_on.wait()
        self.ended.set()
        self.succeed()


class Unreached:
    """Stands where the service would: what is refused at the door must not get as far as calling it."""

    def __getattr__(self, name):
        return self

    def __call__(self, *args, **kwargs):
        raise AssertionError("the service was called")


EXTRA = (("/echo", Echo), ("/began", Began), ("/raise/(.+)", Raise), ("/slow", Slow))


class Running:
    """A server on a loopback port, for the running loop."""

    kind = TORNADO

    def __init__(self, settings=None, **timeouts):
        api = make_api(Unreached(), settings or Settings(), (*ROUTES, *EXTRA))
        self.server = make_server(api, self.kind, **timeouts)

    async def __aenter__(self):
        (sock,) = bind_sockets(0, "127.0.0.1")
        self.port = sock.getsockname()[1]
        await self.server.serve([sock])
        return self

    async def __aexit__(self, *exc):
        self.server.stop()
        await self.server.close_all_connections()

    async def send(self, data, *, then=b"", after=0.0):
        """Send bytes, later some more, and return all that comes until the server hangs up (or half a minute)."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            if then:
                await asyncio.sleep(after)
                writer.write(then)
            async with asyncio.timeout(30):
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()

    async def ask(self, method, path, body=b"", headers=""):
        """One request, one connection: (status, headers, body)."""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        )
        return self.parse(await self.send(head.encode() + body))

    @staticmethod
    def parse(reply):
        """Split a reply into status, headers (names in small letters) and body."""
        head, _, body = reply.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin1").split("\r\n")
        pairs = (line.partition(": ") for line in lines)
        return int(status.split()[1]), {name.lower(): value for name, _, value in pairs}, body


@pytest.fixture(scope="session", autouse=True)
def _no_loop_of_nobody():
    """Otherwise the first `io_loop` makes asyncio create one more, which `asyncio.run` later drops unclosed."""
    asyncio.set_event_loop(None)


class OnHttptools(Running):
    """The same on the other server."""

    kind = HTTPTOOLS


@pytest.fixture(scope="session", params=[Running, OnHttptools], ids=[TORNADO, HTTPTOOLS])
def running(request):
    """The class, to be used with `async with running(...) as server`: once for each server."""
    return request.param


@pytest.fixture
def slow(io_loop):
    """The Slow handler with fresh events."""
    Slow.begun, Slow.go_on, Slow.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    return Slow


@pytest.fixture
def raising():
    """A dictionary name -> error for GET /raise/<name>."""
    Raise.errors = {}
    return Raise.errors


@pytest.fixture
def not_ready(monkeypatch):
    """The service says that it is not."""

    async def ready(self):
        raise StoreUnavailable("no disk")

    monkeypatch.setattr(Unreached, "ready", ready, raising=False)
