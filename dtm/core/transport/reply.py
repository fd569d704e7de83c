"""Putting replies together from bytes. Pure: no socket, no clock."""

from __future__ import annotations

import zlib

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from dtm.core.transport import heads
from dtm.core.transport.base import CallFailed, Reply, new_reply

MAX_REPLY = 1 << 20
"""Bytes of a reply's body at most, as it comes and as it is once decoded."""
MAX_HEAD = 1 << 16
"""Bytes of status lines and headers at most, interim replies included."""
MAX_WIRE = MAX_HEAD + 2 * MAX_REPLY
"""Bytes of a whole reply at most: chunking may double a body, no more."""

_TOO_LONG = f"reply longer than {MAX_REPLY} bytes"
_HEAD_TOO_LONG = f"reply's headers longer than {MAX_HEAD} bytes"
_PLAIN = {b"content-length"}
_READ = frozenset((b"content-length", b"transfer-encoding", b"content-encoding"))
_GZIP = 16 + zlib.MAX_WBITS


class ReplyReader:
    """Reads the replies of one connection, one after another; `start()` comes before each.

    `began`: a byte of the present reply was read. `keep_alive`: after a whole reply, whether another may follow.
    """

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self.start()

    def start(self) -> None:
        """Expect a new reply."""
        self.began = self.keep_alive = False

    def _begin(self) -> None:
        self.began = True
        self._wire = self._head = 0
        self._failure = ""
        self._complete = False
        self._expect()

    def _expect(self) -> None:
        """Expect a status line: of the reply, or of the next after an interim one."""
        self._in_body = False
        self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._chunks: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Reply | None:
        """Take bytes; the reply once it is whole. CallFailed: too long, or no proper HTTP."""
        if not self.began:
            if (reply := heads.known(data)) is not None:
                self.began = self.keep_alive = True
                return reply
            self._begin()
        self._wire += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            # What comes after a whole reply cannot harm it; the connection is not used again.
            self.keep_alive = False
            if not self._complete and not self._failure:
                raise CallFailed(f"the reply is no proper HTTP: {error}") from error
        if self._complete:
            reply = self._build()
            if self.keep_alive and self._wire == len(data) and self._headers.keys() == _PLAIN:
                heads.remember(data, reply)
            return reply
        if not self._in_body and self._wire > MAX_HEAD:
            self._failure = _HEAD_TOO_LONG
        elif self._wire > MAX_WIRE:
            self._failure = _TOO_LONG
        if self._failure:
            raise CallFailed(self._failure)
        return None

    def finish(self) -> Reply:
        """The peer has closed: the reply, if its end was to be told that way. CallFailed: it is not whole."""
        self.keep_alive = False
        if not self._in_body or b"content-length" in self._headers or b"transfer-encoding" in self._headers:
            raise CallFailed("connection closed before the reply was complete")
        return self._build()

    def _build(self) -> Reply:
        if self._failure:
            raise CallFailed(self._failure)
        body = b"".join(self._chunks)
        coding = self._headers.get(b"content-encoding", b"identity").lower()
        if body and coding in (b"gzip", b"x-gzip"):
            body = _gunzip(body)
        elif body and coding != b"identity":
            raise CallFailed(f"reply in an unknown encoding: {coding.decode('latin-1')[:40]}")
        return new_reply(self._status, body)

    def on_message_begin(self) -> None:
        """Called by the parser. Nobody asked for a second reply: whatever this is, it ends the connection."""
        if self._complete:
            self.keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser, for trailers too."""
        if self._complete:
            return
        self._head += len(name) + len(value) + 4
        if self._head > MAX_HEAD:
            self._failure = self._failure or _HEAD_TOO_LONG
        name = name.lower()
        if name in _READ and not self._in_body:
            known = self._headers.get(name)
            self._headers[name] = value if known is None else known + b", " + value

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        if self._complete:
            return
        self._status = self._parser.get_status_code()
        self._in_body = not 100 <= self._status < 200
        if self._status == 101:
            self._failure = "unexpected reply: 101 switching protocols"
        elif self._headers.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            self._failure = "reply in an unknown transfer encoding"

    def on_body(self, data: bytes) -> None:
        """Called by the parser, with the chunks' framing taken off."""
        if self._complete:
            return
        self._size += len(data)
        if self._size <= MAX_REPLY:
            self._chunks.append(data)
        else:
            self._failure = self._failure or _TOO_LONG

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._complete:
            return
        if self._in_body:
            self._complete = True
            self.keep_alive = self._parser.should_keep_alive()
        else:
            self._expect()


def _gunzip(data: bytes) -> bytes:
    """Decode, never holding more than the limit: a small reply may be a bomb."""
    decoder = zlib.decompressobj(_GZIP)
    try:
        body = decoder.decompress(data, MAX_REPLY + 1)
    except zlib.error as error:
        raise CallFailed("reply is no proper gzip") from error
    if len(body) > MAX_REPLY:
        raise CallFailed(_TOO_LONG)
    if not decoder.eof or decoder.unused_data:
        raise CallFailed("reply is no proper gzip")
    return body
