"""What it takes to call a participant: the engine knows this and no more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from dtm.core.values import maker


def no_epoch() -> int:
    """For calls that belong to no transaction."""
    return 0


Headers = tuple[tuple[str, str], ...]
"""Names and values, in the order in which they are sent."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One call, ready to be sent. `timeout` in seconds: for connecting, and again from first byte to whole reply.

    url: all but the last parameters, which are its `query`: escaped, and different from call to call.
    epoch: tells, directly before the first byte, a number that never falls from call to call of one transaction,
    whoever makes them; sent as `dtm-epoch`, so that a participant can tell a stale coordinator (I-LEASE-3). 0: none.
    """

    method: str
    url: str
    headers: Headers
    body: bytes
    timeout: float
    epoch: Callable[[], int] = no_epoch
    query: str = ""


new_outgoing = maker(Outgoing)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply; `body` is decoded of chunks and gzip."""

    status: int
    body: bytes


new_reply = maker(Reply)


class NotSent(Exception):
    """The call could not begin (address refused, no connection, TLS): certainly no byte of it was sent."""


class Withdrawn(Exception):
    """The gate said no: the call was not begun."""


class CallFailed(Exception):
    """The call was begun and has no usable reply: time-out, reset, garbage, too long. It may have been carried out."""


Over = Callable[[Reply | BaseException], None]
"""Hears how a call ended: the reply, or why there is none: a CallFailed, or a fault of the coordinator's own."""


class Transport(ABC):
    """A way to call participants."""

    @abstractmethod
    def host_of(self, url: str) -> str:
        """The key by which calls are bounded: scheme, host and port."""

    @abstractmethod
    def problem_with(self, url: str) -> str | None:
        """Why this url can never be called, as far as that is known without asking anybody; None: it may work."""

    @abstractmethod
    async def call(self, outgoing: Outgoing, gate: Callable[[], bool]) -> Reply:
        """Send one call and return its reply.

        `gate` is asked when a connection is held, directly before the first byte, with no suspension in between:
        False -> Withdrawn. It is asked again before a resend on a fresh connection: False -> CallFailed, as the first
        sending may have been heard. Raises NotSent, Withdrawn or CallFailed.
        """

    def begin(self, outgoing: Outgoing, gate: Callable[[], bool], over: Over) -> Callable[[], object] | None:
        """Begin a call at once, if all that it takes is at hand; None: nothing was done, so use `call`.

        `over` is called, later, with what `call` would return or raise. What is returned cuts the call off: `over` is
        then not called any more. Raises NotSent and Withdrawn.
        """
        return None

    @abstractmethod
    async def close(self) -> None:
        """Close all connections. Idempotent."""
