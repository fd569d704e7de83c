"""Requests from bytes, strictly read by httptools: two readers that disagree are a way past the rules. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

import httptools
from tornado.httputil import HTTPHeaders, HTTPInputError, RequestStartLine

BAD = b"HTTP/1.1 400 Bad Request\r\n\r\n"
UNKNOWN_METHOD = (
    b"HTTP/1.1 405 Method Not Allowed\r\nContent-Type: application/json; charset=utf-8\r\nConnection: close\r\n"
    b'Content-Length: 32\r\n\r\n{"message":"Method Not Allowed"}'
)
VERSIONS = ("1.0", "1.1")


class Unfit(Exception):
    """What came is no request, or too much of one: `reply` is said, perhaps nothing, and the connection closed."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Incoming:
    """One whole request; the body of one that announced more than `max_body` has been dropped."""

    start_line: RequestStartLine
    headers: HTTPHeaders
    body: bytes
    keep_alive: bool


class RequestReader:
    """Reads the requests of one connection. `begun`: in the midst of one. `in_body`: its headers are complete.

    max_headers, max_body, max_dropped in bytes: of request line and headers; of a body; of one that is read and
    dropped, so that its sender comes to hear the refusal.
    """

    def __init__(self, *, max_headers: int, max_body: int, max_dropped: int) -> None:
        self._max_headers = max_headers
        self._max_body = max_body
        self._max_dropped = max_dropped
        self._parser = httptools.HttpRequestParser(self)
        self._whole: list[Incoming] = []
        self._unfit: Unfit | None = None
        self._waited = 0
        self._begins = False
        self.begun = self.in_body = self.wants_continue = False
        self._reset()

    def _reset(self) -> None:
        self._url: list[bytes] = []
        self._headers = HTTPHeaders()
        self._chunks: list[bytes] = []
        self._head = self._size = 0
        self._limit = self._max_body
        self._start_line = RequestStartLine("", "", "")

    def feed(self, data: bytes) -> list[Incoming]:
        """Take bytes; the requests that are whole now. Unfit: those before it are left to `rescued`."""
        self._begins = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._unfit = self._unfit or Unfit(BAD)
        except httptools.HttpParserInvalidMethodError:
            self._unfit = self._unfit or Unfit(UNKNOWN_METHOD)
        except (httptools.HttpParserError, httptools.HttpParserCallbackError):
            self._unfit = self._unfit or Unfit(BAD)
        if self.begun and not self.in_body and not self._begins:
            self._waited += len(data)  # the parser keeps a header until it is whole, however long that takes
            if self._waited > self._max_headers:
                self._unfit = self._unfit or Unfit(b"")
        else:
            self._waited = 0
        if self._unfit is not None:
            raise self._unfit
        return self.rescued()

    def rescued(self) -> list[Incoming]:
        """The whole requests that nobody has taken yet."""
        whole, self._whole = self._whole, []
        return whole

    # Called by the parser

    def on_message_begin(self) -> None:
        """A request begins."""
        self._reset()
        self.begun = self._begins = True
        self.in_body = self.wants_continue = False

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self._url.append(url)
        self._grow(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which nobody wants."""
        self._grow(len(name) + len(value) + 4)
        if self.in_body or self._unfit is not None:
            return
        try:
            self._headers.add(name.decode("latin-1"), value.decode("latin-1").strip(" \t"))
        except HTTPInputError:
            self._refuse(BAD)

    def on_headers_complete(self) -> None:
        """All headers are there."""
        self.in_body = True
        version = self._parser.get_http_version()
        target = b"".join(self._url).decode("latin-1")
        self._start_line = RequestStartLine(self._parser.get_method().decode("ascii"), target, f"HTTP/{version}")
        headers = self._headers
        if version not in VERSIONS or headers.get("Transfer-Encoding", "chunked").lower() != "chunked":
            self._refuse(BAD)
        length = int(headers.get("Content-Length", "0"))
        if length > self._max_dropped:
            self._refuse(BAD)
        elif length > self._max_body:
            self._limit = 0
        self.wants_continue = version == "1.1" and headers.get("Expect", "").lower() == "100-continue"

    def on_body(self, data: bytes) -> None:
        """A part of the body, with the chunks' framing taken off."""
        self._size += len(data)
        if self._limit and self._size > self._limit:
            self._refuse(b"")
        elif self._limit and self._unfit is None:
            self._chunks.append(data)

    def on_message_complete(self) -> None:
        """The request is whole."""
        keep_alive = self._parser.should_keep_alive()
        if self._unfit is None:
            self._whole.append(Incoming(self._start_line, self._headers, b"".join(self._chunks), keep_alive))
        self.begun = self.in_body = self.wants_continue = False

    def _grow(self, size: int) -> None:
        self._head += size
        if self._head > self._max_headers:
            self._refuse(b"")

    def _refuse(self, reply: bytes) -> None:
        self._unfit = self._unfit or Unfit(reply)
