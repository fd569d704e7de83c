"""A client's connection, served by an asyncio protocol on httptools: the same handlers at a third of Tornado's cost."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPInputError,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)

from dtm.core.web.requests import BAD, Incoming, RequestReader, Unfit


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as Tornado's requests want to know it."""

    remote_ip: str
    protocol: str = "http"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds: from the end of a request to the next one's headers; from there to the end of its body."""

    idle_timeout: float
    body_timeout: float


class Connection(asyncio.Protocol, HTTPConnection):
    """One connection: requests are answered one after the other, in the order in which they came.

    While one is under way, no more is read than has come with it; while the client does not take an answer, nothing
    new is begun, and it has `body_timeout` to take it.
    """

    def __init__(
        self,
        application: HTTPServerConnectionDelegate,
        reader: RequestReader,
        limits: Limits,
        open_ones: set[Connection],
        lost: Callable[[], None],
    ) -> None:
        self._application = application
        self._reader = reader
        self._limits = limits
        self._open_ones = open_ones
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self.context = Peer("")
        self._queue: deque[Incoming] = deque()
        self._current: Incoming | None = None
        self._last_words: bytes | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None
        self._awaits_body = False
        self._beginning = False
        self._closed: Callable[[], object] | None = None

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast(asyncio.Transport, transport)  # not isinstance: uvloop's are of no asyncio class
        peer = transport.get_extra_info("peername")
        self.context = Peer(peer[0] if isinstance(peer, tuple) else "0.0.0.0")  # noqa: S104 - as Tornado has it
        self._open_ones.add(self)
        self._watch(self._limits.idle_timeout)

    def data_received(self, data: bytes) -> None:
        """Bytes, of any number of requests."""
        if self._last_words is not None:
            return
        try:
            self._queue.extend(self._reader.feed(data))
        except Unfit as unfit:
            self._queue.extend(self._reader.rescued())
            self._last_words = unfit.reply
        if self._reader.in_body and not self._awaits_body:
            self._awaits_body = True
            self._watch(self._limits.body_timeout)
            if self._reader.wants_continue and not self._queue and self._current is None:
                self._transport.write(b"HTTP/1.1 100 (Continue)\r\n\r\n")
        self._begin()

    def eof_received(self) -> bool:
        """The client sends no more; what it has asked for is still answered."""
        if self._last_words is None:
            self._last_words = b""
        self._begin()
        return True

    def pause_writing(self) -> None:
        """The client does not take what it is sent."""
        self._stuck = self._loop.call_later(self._limits.body_timeout, self._transport.abort)

    def resume_writing(self) -> None:
        """It does again."""
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end. A request that is under way goes on."""
        self._watch(None)
        if self._stuck is not None:
            self._stuck.cancel()
        self._queue.clear()
        self._last_words = b""
        self._open_ones.discard(self)
        self._lost()
        closed, self._closed = self._closed, None
        if closed is not None:
            closed()

    # Requests in turn

    def _begin(self) -> None:
        """Begin the next request, if it is its turn; read on, if there is room for more."""
        if self._beginning:
            return
        self._beginning = True
        while self._queue and self._current is None and self._stuck is None and not self._transport.is_closing():
            self._run(self._queue.popleft())
        self._beginning = False
        if self._transport.is_closing():
            return
        if self._current is not None or self._queue or self._stuck is not None:
            self._transport.pause_reading()
        elif self._last_words is not None:
            self._transport.write(self._last_words)
            self._transport.close()
        else:
            self._transport.resume_reading()

    def _run(self, incoming: Incoming) -> None:
        self._current = incoming
        self._watch(None)
        delegate = self._application.start_request(self, self)
        try:
            delegate.headers_received(incoming.start_line, incoming.headers)
        except HTTPInputError:
            self._transport.write(BAD)
            self._transport.close()
            return
        if incoming.body:
            delegate.data_received(incoming.body)
        delegate.finish()

    def _watch(self, seconds: float | None) -> None:
        """Close the connection after so many seconds of this; None: as long as it takes."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self._loop.call_later(seconds, self._transport.abort)

    # Called by handlers

    def write_headers(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders, chunk: bytes | None = None
    ) -> asyncio.Future[None]:
        """Send the head of a reply, and perhaps its body. Without a Content-Length, the connection's end ends it."""
        assert isinstance(start_line, ResponseStartLine)
        incoming = self._current
        assert incoming is not None
        keep = incoming.keep_alive and headers.get("Connection", "").lower() != "close"
        if "Content-Length" not in headers and start_line.code not in (204, 304):
            keep = False
        if not keep:
            headers["Connection"] = "close"
            self._last_words = b""
            self._queue.clear()
        elif incoming.start_line.version == "HTTP/1.0":
            headers["Connection"] = "Keep-Alive"
        lines = [f"HTTP/1.1 {start_line.code} {start_line.reason}\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in headers.get_all()]
        head = "".join(lines)
        if head.count("\n") != len(lines) or head.count("\r") != len(lines):
            raise ValueError("a header with a line break")
        return self.write(head.encode("latin-1") + b"\r\n" + (chunk or b""))

    def write(self, chunk: bytes) -> asyncio.Future[None]:
        """Send more of the body."""
        if not self._transport.is_closing():
            self._transport.write(chunk)
        sent: asyncio.Future[None] = self._loop.create_future()
        sent.set_result(None)
        return sent

    def finish(self) -> None:
        """The reply is complete."""
        self._current = None
        self._awaits_body = False
        if not self._transport.is_closing():
            self._watch(self._limits.body_timeout if self._reader.in_body else self._limits.idle_timeout)
            self._begin()

    def set_close_callback(self, callback: Callable[[], object] | None) -> None:
        """Whom to tell when the client has gone."""
        self._closed = callback

    def set_max_body_size(self, size: int) -> None:
        """Nothing: what is too large has been dropped before its handler came to hear of it."""

    def close(self) -> None:
        """Close, once what was written has been sent."""
        self._watch(None)
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()
