"""One connection to a participant: one call at a time, and an end for every one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from dtm.core.transport.base import CallFailed, Reply
from dtm.core.transport.reply import ReplyReader


class NoReplyBegun(CallFailed):
    """The connection ended before any byte of the reply."""


Again = Callable[["asyncio.Future[Reply]"], None]
"""Takes over a call whose connection ended before any byte of the reply: its future is still to be fulfilled."""


class Connection(asyncio.Protocol):
    """A connection that is either idle or waiting for one reply; after anything irregular it is closed.

    made, lost: called once each, when the connection is there and when it is gone. `used`: it has carried a call
    before. `idle_since`: the loop's time at which its keeper put it away.
    """

    def __init__(self, made: Callable[[Connection], None], lost: Callable[[Connection], None]) -> None:
        self._made = made
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._reader = ReplyReader()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Reply] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._again: Again | None = None
        self.used = False
        self.idle_since = 0.0

    @property
    def usable(self) -> bool:
        """Whether a call may be sent now: open, and no reply is awaited."""
        return self._waiter is None and self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes, timeout: float, again: Again | None = None) -> asyncio.Future[Reply]:
        """Write a request at once; the future holds the reply, or a CallFailed after `timeout` seconds.

        The connection must be usable. Whoever stops waiting for the future closes the connection. `again` is used only
        if the connection has carried a call before: that it was dead already says nothing about the peer.
        """
        assert self._transport is not None
        self._again = again if self.used else None
        self.used = True
        self._reader.start()
        self._waiter = waiter = self._loop.create_future()
        self._timer = self._loop.call_later(timeout, self._timed_out, timeout)
        self._transport.write(request)
        return waiter

    def close(self) -> None:
        """Close at once, without ceremony. Idempotent."""
        self._end(CallFailed("the coordinator closed the connection"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        # Not isinstance: uvloop's transports are of no asyncio class.
        self._transport = cast(asyncio.Transport, transport)
        self._made(self)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop. Bytes that nobody asked for end the connection."""
        if self._waiter is None:
            self.close()
            return
        try:
            reply = self._reader.feed(data)
        except CallFailed as failure:
            self._end(failure)
            return
        if reply is not None:
            self._answer(reply)
            if not self._reader.keep_alive:
                self.close()

    def eof_received(self) -> None:
        """Called by the event loop: the peer will send no more."""
        if self._waiter is not None and self._reader.began:
            try:
                self._answer(self._reader.finish())
            except CallFailed as failure:
                self._end(failure)
        self._end(NoReplyBegun("connection closed before the reply began"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        if self._reader.began:
            self._end(CallFailed("connection reset before the reply was complete"))
        else:
            self._end(NoReplyBegun("connection reset before the reply began"))
        self._transport = None
        self._lost(self)

    def _timed_out(self, timeout: float) -> None:
        self._end(CallFailed(f"no reply within {timeout:g} s"))

    def _answer(self, reply: Reply) -> None:
        waiter = self._take_waiter()
        if waiter is not None:
            waiter.set_result(reply)

    def _end(self, failure: CallFailed) -> None:
        """Close, and let a call that still waits fail with this."""
        waiter = self._take_waiter()
        if waiter is not None and self._again is not None and isinstance(failure, NoReplyBegun):
            self._again(waiter)
        elif waiter is not None:
            waiter.set_exception(failure)
        if self._transport is not None:
            self._transport.abort()

    def _take_waiter(self) -> asyncio.Future[Reply] | None:
        """The future that still wants an answer; from here on no call is under way."""
        waiter, self._waiter = self._waiter, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return None if waiter is None or waiter.done() else waiter
