"""Requests that Tornado's own HTTP server has read, and the way of their answers back to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from tornado.concurrent import future_add_done_callback
from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPInputError,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)

from dtm.core.web.limits import Limits
from dtm.core.web.requests import Request, fit_host
from dtm.core.web.stream import Stream

if TYPE_CHECKING:
    from dtm.core.web.api import Api


class ExchangeServer(HTTPServer):
    """Tornado's server for one API, with one timer per connection: its own time-outs cost two of them per request.

    max_body, max_dropped in bytes: what is read of a body; of one that is read and dropped. options: HTTPServer's.
    """

    def initialize(  # type: ignore[override]  # a constructor, as Tornado writes it
        self, api: Api, limits: Limits, *, max_body: int, max_dropped: int, **options: Any
    ) -> None:
        """Stand in for `__init__`."""
        super().initialize(lambda request: None, max_body_size=max_body, **options)
        self.conn_params.header_timeout = None
        self.api = api
        self.limits = limits
        self.max_body = max_body
        self.max_dropped = max_dropped

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> Exchange:
        """A connection waits for its next request."""
        connection = cast(HTTP1Connection, request_conn)
        stream = cast(Stream, connection.stream)
        stream.deadline.put(self.limits.idle_timeout)
        return Exchange(self, connection, stream)

    def announced_too_large(self, headers: HTTPHeaders) -> bool:
        """Whether to read such a body and drop it, so that its sender comes to hear the refusal.

        What is absurd, makes no sense, or grows too large in chunks, is left to Tornado: a bare 400 and hanging up.
        """
        length = headers.get("Content-Length", "")
        return length.isdecimal() and len(length) < 10 and self.max_body < int(length) <= self.max_dropped


class Exchange(HTTPMessageDelegate):
    """One request and its answer."""

    __slots__ = ("_chunks", "_connection", "_request", "_server", "_stream")

    def __init__(self, server: ExchangeServer, connection: HTTP1Connection, stream: Stream) -> None:
        self._server = server
        self._connection = connection
        self._stream = stream
        self._chunks: list[bytes] | None = []
        self._request: Request

    def headers_received(self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders) -> None:
        """Request line and headers are there."""
        assert isinstance(start_line, RequestStartLine)
        method, target, version = start_line
        version = version.removeprefix("HTTP/")
        if not fit_host(headers, version):
            raise HTTPInputError("no host, or none that makes sense")
        self._stream.deadline.put(self._server.limits.body_timeout)
        if self._server.announced_too_large(headers):
            self._connection.set_max_body_size(self._server.max_dropped)
            self._chunks = None
        self._request = Request(method, target, version, headers, keep_alive=_lasts(method, version, headers))

    def data_received(self, chunk: bytes) -> None:
        """A part of the body."""
        if self._chunks is not None:
            self._chunks.append(chunk)

    def finish(self) -> None:
        """The request is whole."""
        self._stream.deadline.lift()
        self._request.body = None if self._chunks is None else b"".join(self._chunks)
        self._server.api.answer(self._request, self._send)

    def on_connection_close(self) -> None:
        """The client has gone before its request was whole."""

    def _send(self, answer: bytes, keep: bool) -> None:
        """Send an answer, head and all; the connection goes on once it has been taken."""
        if not self._stream.closed():
            future_add_done_callback(self._stream.write(answer), self._sent)

    def _sent(self, written: asyncio.Future[None]) -> None:
        """The sender of a body that was dropped is hung up on."""
        self._connection.finish()
        if self._chunks is None:
            self._connection.close()


def _lasts(method: str, version: str, headers: HTTPHeaders) -> bool:
    """Whether Tornado keeps the connection after this request."""
    wish = headers.get("Connection", "").lower()
    if version == "1.1":
        return wish != "close"
    framed = "Content-Length" in headers or "Transfer-Encoding" in headers
    return wish == "keep-alive" and (framed or method in ("HEAD", "GET"))
