"""A client's connection, served by an asyncio protocol on httptools: the same handlers at a third of Tornado's cost."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, cast

from dtm.core.deadline import Deadline
from dtm.core.web.limits import Limits
from dtm.core.web.refusals import Unfit
from dtm.core.web.requests import Request, RequestReader

if TYPE_CHECKING:
    from dtm.core.web.api import Api


log = logging.getLogger(__name__)


class Connection(asyncio.Protocol):
    """One connection: requests are answered one after the other, in the order in which they came.

    What comes while one is under way is kept, and nothing after it read; while the client does not take an answer,
    nothing new is begun, and it has `body_timeout` to take it.
    """

    def __init__(
        self,
        api: Api,
        reader: RequestReader,
        limits: Limits,
        open_ones: set[Connection],
        lost: Callable[[], None],
    ) -> None:
        self._api = api
        self._reader = reader
        self._limits = limits
        self._open_ones = open_ones
        self._lost = lost
        self._transport: asyncio.Transport
        self._queue: deque[Request] = deque()
        self._busy = False
        self._beginning = False
        self._paused = False
        self._awaits_body = False
        self._last_words: bytes | None = None
        self._deadline: Deadline
        self._stuck = False
        self._answered = 0.0

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = transport = cast(
            asyncio.Transport, transport
        )  # not isinstance: uvloop's are of no asyncio class
        self._open_ones.add(self)
        self._deadline = Deadline(transport.abort)
        self._deadline.put(self._limits.idle_timeout)

    def data_received(self, data: bytes) -> None:
        """Bytes, of any number of requests."""
        if self._last_words is not None:
            return
        try:
            self._queue.extend(self._reader.feed(data))
        except Unfit as unfit:
            log.info("no proper HTTP from %s: %s", self._transport.get_extra_info("peername"), unfit)
            self._queue.extend(self._reader.rescued())
            self._last_words = unfit.reply
        if self._busy:
            self._pause()
        else:
            self._begin()

    def eof_received(self) -> bool:
        """The client sends no more; what it has asked for is still answered."""
        if self._last_words is None:
            self._last_words = b""
        self._begin()
        return True

    def pause_writing(self) -> None:
        """The client does not take what it is sent."""
        self._stuck = True
        self._deadline.put(self._limits.body_timeout)

    def resume_writing(self) -> None:
        """It does again."""
        self._stuck = False
        self._deadline.put(self._limits.idle_timeout)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end. A request that is under way goes on."""
        self._deadline.end()
        self._queue.clear()
        self._last_words = b""
        self._open_ones.discard(self)
        self._lost()

    # Requests in turn

    def _begin(self) -> None:
        """Begin the next request, if it is its turn; read on, if there is room for more."""
        if self._beginning:
            return
        self._beginning = True
        while self._queue and not (self._busy or self._stuck or self._transport.is_closing()):
            self._busy = True
            self._deadline.lift()
            request = self._queue.popleft()
            request.began = max(request.began, self._answered)
            self._api.answer(request, self._send)
        self._beginning = False
        if self._transport.is_closing():
            return
        if self._queue or self._stuck:
            self._pause()
        elif not self._busy:
            self._read_on()

    def _send(self, answer: bytes, keep: bool) -> None:
        """Send the answer to the request that is under way."""
        self._busy = False
        self._answered = perf_counter()
        if not keep:
            self._last_words = b""
            self._queue.clear()
        if not self._transport.is_closing():
            self._awaits_body = False
            self._deadline.put(self._limits.idle_timeout)
            self._transport.write(answer)
            self._begin()

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _read_on(self) -> None:
        """All is answered: hang up, or wait for more."""
        if self._last_words is not None:
            self._transport.write(self._last_words)
            self._transport.close()
            return
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if self._reader.in_body and not self._awaits_body:
            self._awaits_body = True
            self._deadline.put(self._limits.body_timeout)
            if self._reader.wants_continue:
                self._transport.write(b"HTTP/1.1 100 (Continue)\r\n\r\n")

    # Called by the server

    def close(self) -> None:
        """Close, once what was written has been sent."""
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()
