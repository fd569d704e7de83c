"""A client's connection as Tornado's HTTP server reads and writes it, carried by a transport of the event loop."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

from tornado.ioloop import IOLoop
from tornado.iostream import StreamClosedError

from dtm.core.deadline import Deadline
from dtm.core.web.limits import Limits
from dtm.core.web.refusals import LARGE_HEADERS, MALFORMED, Unfit

READ_AHEAD = 64 * 1024
BARE_REFUSAL = b"HTTP/1.1 400 Bad Request\r\n\r\n"
"""All that Tornado says to who sends no proper HTTP."""

Search = Callable[[bytearray], int | None]
"""Where what is read for ends in what has come; None: not yet there. Unfit: nor will it be."""


class Stream(asyncio.Protocol):
    """All that `HTTP1Connection` asks of an `IOStream`, for one `read` and one `write` of the system per request.

    An IOStream needs more of them: it turns away from its socket while a request is under way, and back to it, looks
    whether anything has come since, and switches Nagle's algorithm on and off.

    While nobody reads, READ_AHEAD bytes or a little more are kept, and then nothing more is read. A client that says
    no more is still answered; one that does not take its answer is asked nothing more, and has `body_timeout` for it.

    accept: is handed the stream and the client's address once it is open. deadline: hangs up when it passes.
    """

    def __init__(self, accept: Callable[[Any, Any], object], limits: Limits) -> None:
        self.io_loop = IOLoop.current()
        self.socket: Any
        self.deadline: Deadline
        self._accept = accept
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._data = bytearray()
        self._search: Search
        self._reader: asyncio.Future[bytes] | None = None
        self._paused = False
        self._ended = False
        self._written: asyncio.Future[None] = self._loop.create_future()
        self._written.set_result(None)
        self._on_close: Callable[[], object] | None = None

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast(asyncio.Transport, transport)  # not isinstance: uvloop's are of no asyncio class
        self.socket = transport.get_extra_info("socket")
        self.deadline = Deadline(self._transport.abort)
        self._accept(self, transport.get_extra_info("peername"))

    def data_received(self, data: bytes) -> None:
        """Some bytes."""
        self._data += data
        if self._reader is not None:
            self._look(self._reader)
        if len(self._data) > READ_AHEAD and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The client sends no more."""
        self._ended = True
        if self._reader is not None:
            self.close()
        return True

    def pause_writing(self) -> None:
        """The client does not take what it is sent."""
        self._written = self._loop.create_future()
        self.deadline.put(self._limits.body_timeout)

    def resume_writing(self) -> None:
        """It does again."""
        self.deadline.lift()
        self._written.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end. A request that is under way goes on."""
        self.deadline.end()
        if not self._written.done():
            self._written.set_result(None)
        self._end()

    # Called by Tornado

    def read_until_regex(self, regex: bytes, max_bytes: int) -> asyncio.Future[bytes]:
        """A request's head: all up to the end of a match; refused when there is none in so many bytes, or with a lone
        CR or LF, which ends a line to Tornado, and need not to a proxy before it (RFC 9112, 2.2).
        """
        return self._read(_head(regex, max_bytes))

    def read_until(self, delimiter: bytes, max_bytes: int) -> asyncio.Future[bytes]:
        """All up to the end of a text, refused when it is not in so many bytes."""
        return self._read(_until(re.escape(delimiter), max_bytes, MALFORMED))

    def read_bytes(self, num_bytes: int, partial: bool = False) -> asyncio.Future[bytes]:
        """So many bytes. partial: or fewer, but one at least."""
        least = 1 if partial else num_bytes
        return self._read(lambda data: min(len(data), num_bytes) if len(data) >= least else None)

    def write(self, data: bytes) -> asyncio.Future[None]:
        """Send; done when there is room for more. Raises StreamClosedError."""
        if self._transport.is_closing():
            raise StreamClosedError
        self._transport.write(data if data != BARE_REFUSAL else MALFORMED)
        return self._written

    def set_nodelay(self, value: bool) -> None:
        """Nothing to do: the event loop has seen to it that nothing waits."""

    def set_close_callback(self, callback: Callable[[], object] | None) -> None:
        """To be called at the end, in place of the one before."""
        self._on_close = callback

    def closed(self) -> bool:
        """Whether this is the end."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Close, once what was written has been sent; at once when the client does not take it."""
        if self._written.done():
            self._transport.close()
        else:
            self._transport.abort()
        self._end()

    def _read(self, search: Search) -> asyncio.Future[bytes]:
        self._search = search
        self._reader = reader = self._loop.create_future()
        self._look(reader)
        if not reader.done():
            if self._ended:
                self.close()
            elif self._paused:
                self._paused = False
                self._transport.resume_reading()
        return reader

    def _look(self, reader: asyncio.Future[bytes]) -> None:
        """Give the reader what it waits for, if it has come."""
        try:
            end = self._search(self._data)
        except Unfit as unfit:
            self._transport.write(unfit.reply)
            self.close()
            return
        if end is not None:
            self._reader = None
            if not reader.cancelled():
                reader.set_result(bytes(self._data[:end]))
            del self._data[:end]

    def _end(self) -> None:
        """Nothing is read any more, nor is what has been."""
        self._ended = True
        self._data.clear()
        if self._reader is not None and not self._reader.done():
            self._reader.set_exception(StreamClosedError())
        self._reader = None
        if self._on_close is not None:
            self._loop.call_soon(self._on_close)
            self._on_close = None


@lru_cache(maxsize=8)
def _head(regex: bytes, max_bytes: int) -> Search:
    until = _until(regex, max_bytes, LARGE_HEADERS)

    def end(data: bytearray) -> int | None:
        size = until(data)
        if size is not None:
            lines = data.count(b"\r\n", 0, size)
            if not data.count(b"\n", 0, size) == data.count(b"\r", 0, size) == lines:
                raise Unfit(MALFORMED)
        return size

    return end


@lru_cache(maxsize=8)
def _until(regex: bytes, max_bytes: int, refusal: bytes) -> Search:
    search = re.compile(regex).search

    def end(data: bytearray) -> int | None:
        match = search(data)
        size = len(data) if match is None else match.end()
        if size > max_bytes:
            raise Unfit(refusal)
        return None if match is None else size

    return end
