"""Requests that Tornado's own HTTP server has read, and the way of their answers back to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tornado.http1connection import HTTP1Connection
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPInputError,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)

from dtm.core.web.requests import Request, fit_host

if TYPE_CHECKING:
    from dtm.core.web.api import Api


class Exchanges(HTTPServerConnectionDelegate):
    """Makes one exchange per request. max_body, max_dropped in bytes: what is read; what is read and dropped."""

    def __init__(self, api: Api, *, max_body: int, max_dropped: int) -> None:
        self._api = api
        self._max_body = max_body
        self._max_dropped = max_dropped

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> Exchange:
        """A connection waits for its next request."""
        return Exchange(self, request_conn)

    def announced_too_large(self, headers: HTTPHeaders) -> bool:
        """Whether to read such a body and drop it, so that its sender comes to hear the refusal.

        What is absurd, makes no sense, or grows too large in chunks, is left to Tornado: a bare 400 and hanging up.
        """
        length = headers.get("Content-Length", "")
        return length.isdecimal() and len(length) < 10 and self._max_body < int(length) <= self._max_dropped

    def begin(self, request: Request, exchange: Exchange) -> None:
        """The request is whole."""
        self._api.answer(request, exchange.send)

    def let_drop(self, connection: HTTPConnection) -> None:
        """Let a body come that is too large."""
        assert isinstance(connection, HTTP1Connection)
        connection.set_max_body_size(self._max_dropped)


class Exchange(HTTPMessageDelegate):
    """One request and its answer."""

    __slots__ = ("_chunks", "_connection", "_exchanges", "_request")

    def __init__(self, exchanges: Exchanges, connection: HTTPConnection) -> None:
        self._exchanges = exchanges
        self._connection = connection
        self._chunks: list[bytes] | None = []
        self._request: Request

    def headers_received(self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders) -> None:
        """Request line and headers are there."""
        assert isinstance(start_line, RequestStartLine)
        method, target, version = start_line
        version = version.removeprefix("HTTP/")
        if not fit_host(headers, version):
            raise HTTPInputError("no host, or none that makes sense")
        if self._exchanges.announced_too_large(headers):
            self._exchanges.let_drop(self._connection)
            self._chunks = None
        self._request = Request(method, target, version, headers, keep_alive=_lasts(method, version, headers))

    def data_received(self, chunk: bytes) -> None:
        """A part of the body."""
        if self._chunks is not None:
            self._chunks.append(chunk)

    def finish(self) -> None:
        """The request is whole."""
        self._request.body = None if self._chunks is None else b"".join(self._chunks)
        self._exchanges.begin(self._request, self)

    def on_connection_close(self) -> None:
        """The client has gone before its request was whole."""

    def send(self, answer: bytes, keep: bool) -> None:
        """Send an answer, head and all. The sender of a body that was dropped is hung up on."""
        self._connection.write(answer)
        self._connection.finish()
        if self._chunks is None:
            assert isinstance(self._connection, HTTP1Connection)
            self._connection.close()


def _lasts(method: str, version: str, headers: HTTPHeaders) -> bool:
    """Whether Tornado keeps the connection after this request."""
    wish = headers.get("Connection", "").lower()
    if version == "1.1":
        return wish != "close"
    framed = "Content-Length" in headers or "Transfer-Encoding" in headers
    return wish == "keep-alive" and (framed or method in ("HEAD", "GET"))
