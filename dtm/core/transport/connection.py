"""One connection to a participant: one call at a time, and an end for every one of them."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import cast

from dtm.core.deadline import Deadline
from dtm.core.transport.base import CallFailed, Over
from dtm.core.transport.reply import ReplyReader


class NoReplyBegun(CallFailed):
    """The connection ended before any byte of the reply."""


class Connection(asyncio.Protocol):
    """A connection that is either idle or waiting for one reply; after anything irregular it is closed.

    made, lost: called once each, when the connection is there and when it is gone. `used`: it has carried a call
    before.
    """

    def __init__(self, made: Callable[[Connection], None], lost: Callable[[Connection], None]) -> None:
        self._made = made
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._reader = ReplyReader()
        self._transport: asyncio.Transport | None = None
        self._incoming = select.poll()
        self._over: Over | None = None
        self._timeout = 0.0
        self._deadline = Deadline(self._timed_out)
        self.used = False
        self._idle_since = 0.0

    @property
    def usable(self) -> bool:
        """Whether a call may be sent now: open, and no reply is awaited."""
        return self._over is None and self._transport is not None and not self._transport.is_closing()

    def rest(self) -> None:
        """It is put away."""
        self._idle_since = self._loop.time()

    def fresh(self, limit: float) -> bool:
        """Whether a call may be sent now, it was put away less than `limit` seconds ago, and has been silent since.

        What has come in this turn the event loop has not read yet: it would be taken for the reply to the next call.
        """
        return self.usable and self._loop.time() - self._idle_since < limit and not self._incoming.poll(0)

    def send(self, request: bytes, timeout: float, over: Over) -> None:
        """Write a request at once; `over` is told the reply, or a CallFailed after `timeout` seconds.

        The connection must be usable. When `over` is called, it is usable again or closed.
        """
        assert self._transport is not None
        self.used = True
        self._reader.start()
        self._over = over
        self._timeout = timeout
        self._deadline.put(timeout)
        self._transport.write(request)

    def close(self) -> None:
        """Close at once, without ceremony. Idempotent."""
        self._end(CallFailed("the coordinator closed the connection"))

    def cut_off(self) -> None:
        """Close, and tell nobody."""
        self._over = None
        self.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        # Not isinstance: uvloop's transports are of no asyncio class.
        self._transport = cast(asyncio.Transport, transport)
        self._incoming.register(transport.get_extra_info("socket"), select.POLLIN)
        self._made(self)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop. Bytes that nobody asked for end the connection."""
        if self._over is None:
            self.close()
            return
        try:
            reply = self._reader.feed(data)
        except CallFailed as failure:
            self._end(failure)
            return
        if reply is not None:
            over, self._over = self._over, None
            if not self._reader.keep_alive:
                self.close()
            over(reply)

    def eof_received(self) -> None:
        """Called by the event loop: the peer will send no more."""
        over = self._over
        if over is None or not self._reader.began:
            self._end(NoReplyBegun("connection closed before the reply began"))
            return
        try:
            reply = self._reader.finish()
        except CallFailed as failure:
            self._end(failure)
            return
        self._over = None
        self.close()
        over(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        if self._reader.began:
            self._end(CallFailed("connection reset before the reply was complete"))
        else:
            self._end(NoReplyBegun("connection reset before the reply began"))
        self._deadline.end()
        self._transport = None
        self._lost(self)

    def _timed_out(self) -> None:
        """The deadline of the last call has passed, which may be over."""
        if self._over is not None:
            self._end(CallFailed(f"no reply within {self._timeout:g} s"))

    def _end(self, failure: CallFailed) -> None:
        """Close, and let a call that still waits fail with this."""
        over, self._over = self._over, None
        if self._transport is not None:
            self._transport.abort()
        if over is not None:
            over(failure)
