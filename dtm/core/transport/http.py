"""Calls over HTTP/1.1: pooled keep-alive connections, no redirects, no proxies."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from functools import lru_cache

from dtm.core.transport.allow import CallbackPolicy
from dtm.core.transport.base import CallFailed, NotSent, Outgoing, Reply, Transport, Withdrawn
from dtm.core.transport.connection import Connection, NoReplyBegun
from dtm.core.transport.origin import Origin, split
from dtm.core.transport.pool import Pool
from dtm.core.transport.reply import MAX_HEAD
from dtm.core.transport.wire import legal_header, url_problem

_METHODS = frozenset(("GET", "POST"))
_TARGET = re.compile(r"[!-~]+")


class HttpTransport(Transport):
    """Calls participants over http and https, where `allow` permits.

    connect_timeout: seconds for a new connection at most, even when the call's own time-out is longer. idle_limit:
    seconds that a connection is kept without a call. idle_per_host: how many are kept per origin. ssl_context: whom
    to trust; None = the system's authorities.
    """

    def __init__(
        self,
        *,
        allow: CallbackPolicy,
        connect_timeout: float = 10.0,
        idle_limit: float = 30.0,
        idle_per_host: int = 128,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._allow = allow
        self._pool = Pool(
            allow=allow,
            connect_timeout=connect_timeout,
            idle_limit=idle_limit,
            idle_per_host=idle_per_host,
            ssl_context=ssl_context,
        )

    def host_of(self, url: str) -> str:
        """`scheme://host:port`; "" for all URLs that cannot be called."""
        try:
            return split(url)[0].key
        except ValueError:
            return ""

    def problem_with(self, url: str) -> str | None:
        """An unusable URL, or an address that `allow` does not permit."""
        problem = url_problem(url)
        if problem is None:
            origin, _ = split(url)
            if self._allow.never(origin.host, origin.port):
                problem = f"an address that callbacks.allow does not permit: {origin.place}"
        return problem

    async def call(self, outgoing: Outgoing, gate: Callable[[], bool]) -> Reply:
        """Send one call and return its reply, as Transport says.

        A kept connection that turns out dead before any byte of the reply is replaced by a new one, once. When that
        cannot be had, or the gate has closed meanwhile, the call has failed: its first sending may have been heard.
        """
        try:
            origin, target = split(outgoing.url)
        except ValueError as problem:
            raise NotSent(str(problem)) from problem
        request = _request(outgoing, origin, target)
        connection = self._pool.take(origin) or await self._pool.dial(origin, outgoing.timeout)
        kept = connection.used
        try:
            return await self._exchange(origin, connection, request, outgoing, gate)
        except NoReplyBegun:
            if not kept:
                raise
        try:
            connection = await self._pool.dial(origin, outgoing.timeout)
            return await self._exchange(origin, connection, request, outgoing, gate)
        except (NotSent, Withdrawn) as reason:
            raise CallFailed(f"connection closed before the reply began; not sent again: {reason}") from reason

    async def _exchange(
        self,
        origin: Origin,
        connection: Connection,
        request: tuple[bytes, bytes],
        outgoing: Outgoing,
        gate: Callable[[], bool],
    ) -> Reply:
        try:
            if not connection.usable:
                raise NotSent(f"connection closed before the call: {origin.place}")
            if not gate():
                raise Withdrawn("withdrawn before it was sent")
            start, rest = request
            return await connection.send(start + _epoch_line(outgoing.epoch()) + rest, outgoing.timeout)
        finally:
            # Whatever is not over by now (a cancelled call) is closed there.
            self._pool.put(origin, connection)

    async def close(self) -> None:
        """Close all connections; calls under way fail. Idempotent."""
        await self._pool.close()


def _request(outgoing: Outgoing, origin: Origin, target: str) -> tuple[bytes, bytes]:
    """The bytes to send, before and after the epoch. NotSent: they would not be one proper request."""
    if not _TARGET.fullmatch(target) or outgoing.method not in _METHODS:
        raise NotSent("illegal character in the URL, or illegal method")
    head = _head(origin.header, tuple(outgoing.headers.items()))
    body = outgoing.body
    length = f"Content-Length: {len(body)}\r\n" if body or outgoing.method != "GET" else ""
    return f"{outgoing.method} {target} HTTP/1.1\r\n{length}".encode("ascii"), head + body


def _epoch_line(epoch: int) -> bytes:
    return b"dtm-epoch: %d\r\n" % epoch if epoch else b""


@lru_cache(maxsize=256)
def _head(host: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    lines = [f"Host: {host}\r\n"]
    for name, value in headers:
        if not legal_header(name, value):
            raise NotSent(f"illegal header {name[:40]!r}")
        lines.append(f"{name}: {value}\r\n")
    head = "".join(lines).encode()
    if len(head) > MAX_HEAD:
        raise NotSent(f"headers longer than {MAX_HEAD} bytes")
    return head + b"\r\n"
