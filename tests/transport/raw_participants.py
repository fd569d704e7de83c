"""Participants that behave, and participants that do not: real servers on free ports."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable

from dtm.core.transport.base import Outgoing

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One whole request; b"" when the coordinator has closed."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head + await reader.readexactly(length)


class Participant:
    """A server that runs a script for each connection and remembers what it saw."""

    def __init__(self) -> None:
        self.accepted = 0
        self.ended = 0
        self.requests: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, script: Script | None, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.host = f"[{host}]" if ":" in host else host
        self.scheme = "https" if tls else "http"
        self._script = script or self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        self._server = await asyncio.start_server(self._serve, host, 0, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def place(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.place}/path?q=1"

    def answer(self, *replies: bytes, close: bool = False) -> Script:
        """Answer requests with these bytes, one after another over all connections, the last one for ever."""
        left = list(replies)

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while request := await read_request(reader):
                self.requests.append(request)
                writer.write(left.pop(0) if len(left) > 1 else left[0])
                await writer.drain()
                if close:
                    return

        return script

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await self._script(reader, writer)
        finally:
            self.ended += 1
            self._tasks.discard(task)
            writer.transport.abort()

    async def stop(self) -> None:
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()
        await asyncio.sleep(0.01)  # connection_lost of what was aborted


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that will be so soon."""
    async with asyncio.timeout(4):
        while not condition():
            await asyncio.sleep(0.005)


def outgoing(url: str, body: bytes = b"", timeout: float = 2.0, **headers: str) -> Outgoing:
    """A call: POST when it has a body, else GET."""
    return Outgoing("POST" if body else "GET", url, tuple(headers.items()), body, timeout)


def yes() -> bool:
    """A gate that is always open."""
    return True


class Gate:
    """A gate that answers in turn and counts how often it was asked."""

    def __init__(self, *answers: bool) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.answers.pop(0)


def ok(body: bytes = b"hi", *headers: bytes) -> bytes:
    """The bytes of a reply 200 with a length."""
    return b"\r\n".join((b"HTTP/1.1 200 OK", *headers, b"Content-Length: %d" % len(body), b"", body))
