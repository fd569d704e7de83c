"""Requests as handlers see them, and from bytes, strictly read by httptools: two readers that disagree are a way past
the rules. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from time import perf_counter

import httptools
from tornado.escape import parse_qs_bytes

from dtm.core.web.limits import MAX_BODY, MAX_DROPPED, MAX_HEADERS
from dtm.core.web.refusals import LARGE_HEADERS, MALFORMED, UNKNOWN_METHOD, Unfit

VERSIONS = ("1.0", "1.1")

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
HOST = re.compile(r"(?:[\[\]:A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})+")


class Request:
    """One whole request.

    version: "1.0" or "1.1". headers: to be asked for with small letters; one that came twice is joined by a comma.
    body: None when it was larger than allowed, and has been dropped. keep_alive: whether the client expects the
    connection to last. began: when its headers had been read and it was its turn, by `time.perf_counter`.
    """

    __slots__ = ("began", "body", "headers", "keep_alive", "method", "path", "query", "version")

    def __init__(self, method: str, target: str, version: str, headers: Mapping[str, str], *, keep_alive: bool) -> None:
        self.method = method
        self.path, _, self.query = _origin_form(target).partition("?")
        self.version = version
        self.headers = headers
        self.keep_alive = keep_alive
        self.body: bytes | None = b""
        self.began = perf_counter()

    def argument(self, name: str) -> bytes:
        """A query parameter's first value exactly as it was sent; b"" when absent."""
        if not self.query:
            return b""
        values = parse_qs_bytes(self.query, keep_blank_values=True).get(name)
        return values[0] if values else b""


def _origin_form(target: str) -> str:
    """A path with its query, out of a URL too: a client that takes us for a proxy sends one (RFC 9112, 3.2.2)."""
    if target.startswith("/") or not target.lower().startswith(("http://", "https://")):
        return target
    _, slash, path = target.partition("://")[2].partition("/")
    return slash + path


def fit_host(headers: Mapping[str, str], version: str) -> bool:
    """Whether a request says for which host it is, and says one; before HTTP/1.1 it need not."""
    host = headers.get("host")
    return version == "1.0" if host is None else _is_host(host)


def lasts(method: str, version: str, headers: Mapping[str, str]) -> bool:
    """Whether to keep the connection after this request, which Tornado does for HTTP/1.0 in these cases only."""
    wish = headers.get("connection", "").lower()
    if version == "1.1":
        return not wish or "close" not in [option.strip(" \t") for option in wish.split(",")]
    framed = "content-length" in headers or "transfer-encoding" in headers
    return wish == "keep-alive" and (framed or method in ("HEAD", "GET"))


@lru_cache(maxsize=256)
def _is_host(host: str) -> bool:
    return not host or HOST.fullmatch(host) is not None


@lru_cache(maxsize=1024)
def _header_name(name: bytes) -> str:
    """A header's name in small letters; "" when it is none."""
    return name.decode("ascii").lower() if TOKEN.fullmatch(name) else ""


class RequestReader:
    """Reads the requests of one connection. `begun`: in the midst of one. `in_body`: its headers are complete."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._whole: list[Request] = []
        self._unfit: Unfit | None = None
        self._waited = 0
        self._begins = False
        self.begun = self.in_body = self.wants_continue = False
        self._url: list[bytes] = []
        self._headers: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self._head = self._size = 0
        self._request: Request

    def feed(self, data: bytes) -> list[Request]:
        """Take bytes; the requests that are whole now. Unfit: those before it are left to `rescued`."""
        self._begins = False
        try:
            self._parse(data)
        except httptools.HttpParserInvalidMethodError:
            self._refuse(UNKNOWN_METHOD)
        except (httptools.HttpParserError, httptools.HttpParserCallbackError):
            self._refuse(MALFORMED)
        if not self.begun or self.in_body or (self._begins and self._whole):
            self._waited = 0
        else:
            self._waited += len(data)  # the parser keeps a header until it is whole, however long that takes
            if self._waited > MAX_HEADERS:
                self._refuse(LARGE_HEADERS)
        if self._unfit is not None:
            raise self._unfit
        return self.rescued()

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                data = self._without_offer() + data[offer.args[0] :]
            else:
                return

    def _without_offer(self) -> bytes:
        """The head of the last request without the other protocol it offers, which we do not take up (RFC 9110, 7.8).

        The parser takes such a request for its connection's last, and its body for that protocol's first bytes.
        """
        self._parser = httptools.HttpRequestParser(self)
        if self._unfit is not None:
            return b""
        request = self._whole.pop()
        if request.method == "CONNECT":
            self._refuse(UNKNOWN_METHOD)
            return b""
        headers = [f"{name}: {value}" for name, value in request.headers.items() if name != "upgrade"]
        start = f"{request.method} ".encode() + b"".join(self._url) + f" HTTP/{request.version}\r\n".encode()
        return start + "\r\n".join([*headers, "", ""]).encode("latin-1")

    def rescued(self) -> list[Request]:
        """The whole requests that nobody has taken yet."""
        whole, self._whole = self._whole, []
        return whole

    # Called by the parser

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url = []
        self._headers = {}
        self._chunks = []
        self._head = self._size = 0
        self.begun = self._begins = True

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self._url.append(url)
        self._grow(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which nobody wants."""
        self._grow(len(name) + len(value) + 4)
        if self.in_body or self._unfit is not None:
            return
        known, text = _header_name(name), value.decode("latin-1").strip(" \t")
        if not known or not (text.isprintable() or CONTROL.search(text) is None):
            self._refuse(MALFORMED)
        elif known in self._headers:
            self._headers[known] += f",{text}"
        else:
            self._headers[known] = text

    def on_headers_complete(self) -> None:
        """All headers are there."""
        self.in_body = True
        version = self._parser.get_http_version()
        headers = self._headers
        if version not in VERSIONS or headers.get("transfer-encoding", "chunked").lower() != "chunked":
            self._refuse(MALFORMED)
        if not fit_host(headers, version):
            self._refuse(MALFORMED)
        if int(headers.get("content-length", "0")) > MAX_DROPPED:
            self._refuse(MALFORMED)
        self.wants_continue = version == "1.1" and headers.get("expect", "").lower() == "100-continue"
        method, target = self._parser.get_method().decode("ascii"), b"".join(self._url).decode("latin-1")
        self._grow(len(method) + len("  HTTP/1.1\r\n\r\n"))
        keep_alive = self._parser.should_keep_alive() and (version == "1.1" or lasts(method, version, headers))
        self._request = Request(method, target, version, headers, keep_alive=keep_alive)

    def on_body(self, data: bytes) -> None:
        """A part of the body, with the chunks' framing taken off."""
        self._size += len(data)
        if self._size <= MAX_BODY:
            self._chunks.append(data)
        elif self._size > MAX_DROPPED:
            self._refuse(MALFORMED)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._unfit is None:
            self._request.body = b"".join(self._chunks) if self._size <= MAX_BODY else None
            self._whole.append(self._request)
        self.begun = self.in_body = self.wants_continue = False

    def _grow(self, size: int) -> None:
        self._head += size
        if self._head > MAX_HEADERS:
            self._refuse(LARGE_HEADERS)

    def _refuse(self, reply: bytes) -> None:
        self._unfit = self._unfit or Unfit(reply)
