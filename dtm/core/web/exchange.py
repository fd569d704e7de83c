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

from dtm.core.web.limits import MAX_BODY, Limits
from dtm.core.web.requests import VERSIONS, Request, fit_host, lasts
from dtm.core.web.stream import Stream

if TYPE_CHECKING:
    from dtm.core.web.api import Api


class ExchangeServer(HTTPServer):
    """Tornado's server for one API, with one timer per connection: its own time-outs cost two of them per request.

    options: HTTPServer's.
    """

    def initialize(  # type: ignore[override]  # a constructor, as Tornado writes it
        self, api: Api, limits: Limits, **options: Any
    ) -> None:
        """Stand in for `__init__`."""
        super().initialize(lambda request: None, **options)
        self.conn_params.header_timeout = None
        self.api = api
        self.limits = limits

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> Exchange:
        """A connection waits for its next request."""
        connection = cast(HTTP1Connection, request_conn)
        stream = cast(Stream, connection.stream)
        stream.deadline.put(self.limits.idle_timeout)
        return Exchange(self, connection, stream)


class Exchange(HTTPMessageDelegate):
    """One request and its answer."""

    __slots__ = ("_chunks", "_connection", "_request", "_server", "_size", "_stream")

    def __init__(self, server: ExchangeServer, connection: HTTP1Connection, stream: Stream) -> None:
        self._server = server
        self._connection = connection
        self._stream = stream
        self._chunks: list[bytes] = []
        self._size = 0
        self._request: Request

    def headers_received(self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders) -> None:
        """Request line and headers are there."""
        assert isinstance(start_line, RequestStartLine)
        method, target, version = start_line
        version = version.removeprefix("HTTP/")
        if version not in VERSIONS or "," in headers.get("Content-Length", "") or not fit_host(headers, version):
            raise HTTPInputError("this HTTP version, Content-Length or Host is refused")
        if "Expect" in headers:
            # Tornado compares letter by letter, and looks at no version (RFC 9110, 10.1.1)
            headers["Expect"] = headers["Expect"].lower() if version == "1.1" else ""
        self._stream.deadline.put(self._server.limits.body_timeout)
        self._request = Request(method, target, version, headers, keep_alive=lasts(method, version, headers))

    def data_received(self, chunk: bytes) -> None:
        """A part of the body."""
        self._size += len(chunk)
        if self._size <= MAX_BODY:
            self._chunks.append(chunk)

    def finish(self) -> None:
        """The request is whole."""
        self._stream.deadline.lift()
        self._request.body = b"".join(self._chunks) if self._size <= MAX_BODY else None
        self._server.api.answer(self._request, self._send)

    def on_connection_close(self) -> None:
        """The client has gone before its request was whole."""

    def _send(self, answer: bytes, keep: bool) -> None:
        """Send an answer, head and all; the connection goes on once it has been taken."""
        if not self._stream.closed():
            future_add_done_callback(self._stream.write(answer), self._sent if keep else self._sent_last)

    def _sent(self, written: asyncio.Future[None]) -> None:
        self._connection.finish()

    def _sent_last(self, written: asyncio.Future[None]) -> None:
        self._connection.finish()
        self._connection.close()
