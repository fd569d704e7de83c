"""Calls over HTTP/1.1: pooled keep-alive connections, no redirects, no proxies."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from functools import lru_cache, partial

from dtm.core.transport.allow import CallbackPolicy
from dtm.core.transport.base import Headers, NotSent, Outgoing, Over, Reply, Transport
from dtm.core.transport.exchange import Address, Exchange
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
        self._pool = Pool(
            allow=allow,
            connect_timeout=connect_timeout,
            idle_limit=idle_limit,
            idle_per_host=idle_per_host,
            ssl_context=ssl_context,
        )
        self._allow = allow

    def host_of(self, url: str) -> str:
        """`scheme://host:port`; "" for all URLs that cannot be called."""
        try:
            return _place(url)[0].key
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

    def begin(self, outgoing: Outgoing, gate: Callable[[], bool], over: Over) -> Callable[[], object] | None:
        """Begin a call at once on a kept connection, if there is one, as Transport says.

        One that turns out dead before any byte of the reply is replaced by a new one, once. When that cannot be had, or
        the gate has closed meanwhile, the call has failed: its first sending may have been heard.
        """
        address = _address(outgoing.method, outgoing.url, outgoing.headers)
        connection = self._pool.take(address.origin)
        if connection is None:
            return None
        exchange = Exchange(self._pool, address, outgoing, gate, over)
        exchange.send(connection)
        return exchange.cut_off

    async def call(self, outgoing: Outgoing, gate: Callable[[], bool]) -> Reply:
        """Send one call and return its reply, as Transport says; what `begin` says holds here too."""
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        over = partial(_fulfil, answer)
        cut_off = self.begin(outgoing, gate, over)
        if cut_off is None:
            address = _address(outgoing.method, outgoing.url, outgoing.headers)
            exchange = Exchange(self._pool, address, outgoing, gate, over)
            await exchange.dial_and_send()
            cut_off = exchange.cut_off
        try:
            return await answer
        finally:
            if answer.cancelled():
                cut_off()

    async def close(self) -> None:
        """Close all connections; calls under way fail. Idempotent."""
        await self._pool.close()


def _fulfil(answer: asyncio.Future[Reply], result: Reply | BaseException) -> None:
    if answer.done():
        return  # nobody waits any more
    if isinstance(result, Reply):
        answer.set_result(result)
    else:
        answer.set_exception(result)


@lru_cache(maxsize=512)
def _address(method: str, url: str, headers: Headers) -> Address:
    """NotSent: the bytes would not be one proper request."""
    try:
        origin, target = _place(url)
    except ValueError as problem:
        raise NotSent(str(problem)) from problem
    if target is None or method not in _METHODS:
        raise NotSent("illegal character in the URL, or illegal method")
    return Address(origin, target, _head(origin.header, headers))


@lru_cache(maxsize=4096)
def _place(url: str) -> tuple[Origin, str | None]:
    """The origin of a URL, and its request target if that is proper; ValueError, as `split` says."""
    origin, target = split(url)
    return origin, target if _TARGET.fullmatch(target) else None


@lru_cache(maxsize=256)
def _head(host: str, headers: Headers) -> bytes:
    lines = [f"Host: {host}\r\n"]
    for name, value in headers:
        if not legal_header(name, value):
            raise NotSent(f"illegal header {name[:40]!r}")
        lines.append(f"{name}: {value}\r\n")
    head = "".join(lines).encode()
    if len(head) > MAX_HEAD:
        raise NotSent(f"headers longer than {MAX_HEAD} bytes")
    return head + b"\r\n"
