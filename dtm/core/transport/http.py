"""Calls over HTTP/1.1: pooled keep-alive connections, no redirects, no proxies."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

from dtm.core.transport.allow import CallbackPolicy
from dtm.core.transport.base import CallFailed, NotSent, Outgoing, Reply, Transport, Withdrawn
from dtm.core.transport.connection import Connection
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
        self._problems = lru_cache(maxsize=1024)(self._problem)
        self._resends: set[asyncio.Task[Reply]] = set()

    def host_of(self, url: str) -> str:
        """`scheme://host:port`; "" for all URLs that cannot be called."""
        try:
            return split(url)[0].key
        except ValueError:
            return ""

    def problem_with(self, url: str) -> str | None:
        """An unusable URL, or an address that `allow` does not permit."""
        return self._problems(url)

    def _problem(self, url: str) -> str | None:
        problem = url_problem(url)
        if problem is None:
            origin, _ = split(url)
            if self._allow.never(origin.host, origin.port):
                problem = f"an address that callbacks.allow does not permit: {origin.place}"
        return problem

    def begin(self, outgoing: Outgoing, gate: Callable[[], bool]) -> asyncio.Future[Reply] | None:
        """Begin a call at once on a kept connection, if there is one, as Transport says.

        One that turns out dead before any byte of the reply is replaced by a new one, once. When that cannot be had, or
        the gate has closed meanwhile, the call has failed: its first sending may have been heard.
        """
        letter = _letter(outgoing, gate)
        connection = self._pool.take(letter.origin)
        return None if connection is None else self._send(letter, connection)

    async def call(self, outgoing: Outgoing, gate: Callable[[], bool]) -> Reply:
        """Send one call and return its reply, as Transport says; what `begin` says holds here too."""
        under_way = self.begin(outgoing, gate)
        if under_way is None:
            under_way = await self._dial_and_send(_letter(outgoing, gate))
        return await under_way

    async def _dial_and_send(self, letter: _Letter) -> asyncio.Future[Reply]:
        return self._send(letter, await self._pool.dial(letter.origin, letter.outgoing.timeout))

    def _send(self, letter: _Letter, connection: Connection) -> asyncio.Future[Reply]:
        begins = False
        try:
            if not connection.usable:
                raise NotSent(f"connection closed before the call: {letter.origin.place}")
            begins = letter.gate()
            if not begins:
                raise Withdrawn("withdrawn before it was sent")
        finally:
            if not begins:
                self._pool.put(letter.origin, connection)
        request = letter.start + _epoch_line(letter.outgoing.epoch()) + letter.rest
        under_way = connection.send(request, letter.outgoing.timeout, partial(self._again, letter))
        # Whatever is not over by then (a cancelled call) is closed there.
        under_way.add_done_callback(lambda _: self._pool.put(letter.origin, connection))
        return under_way

    def _again(self, letter: _Letter, under_way: asyncio.Future[Reply]) -> None:
        """Send a call once more, on a new connection, and let its future have what comes of it."""
        task = asyncio.get_running_loop().create_task(self._sent_anew(letter))
        self._resends.add(task)  # else only weak references would hold it

        def over(task: asyncio.Task[Reply]) -> None:
            self._resends.discard(task)
            if under_way.done():
                return
            error = task.exception()
            if error is None:
                under_way.set_result(task.result())
            else:
                under_way.set_exception(error)

        task.add_done_callback(over)
        under_way.add_done_callback(lambda _: task.cancel())

    async def _sent_anew(self, letter: _Letter) -> Reply:
        try:
            return await (await self._dial_and_send(letter))
        except (NotSent, Withdrawn) as reason:
            raise CallFailed(f"connection closed before the reply began; not sent again: {reason}") from reason

    async def close(self) -> None:
        """Close all connections; calls under way fail. Idempotent."""
        await self._pool.close()


@dataclass(frozen=True, slots=True)
class _Letter:
    """One call, addressed: its bytes before and after the epoch, which is told only when it is sent."""

    origin: Origin
    start: bytes
    rest: bytes
    outgoing: Outgoing
    gate: Callable[[], bool]


def _letter(outgoing: Outgoing, gate: Callable[[], bool]) -> _Letter:
    """NotSent: the bytes would not be one proper request."""
    try:
        origin, target = split(outgoing.url)
    except ValueError as problem:
        raise NotSent(str(problem)) from problem
    if not _TARGET.fullmatch(target) or outgoing.method not in _METHODS:
        raise NotSent("illegal character in the URL, or illegal method")
    head = _head(origin.header, tuple(outgoing.headers.items()))
    body = outgoing.body
    length = f"Content-Length: {len(body)}\r\n" if body or outgoing.method != "GET" else ""
    start = f"{outgoing.method} {target} HTTP/1.1\r\n{length}".encode("ascii")
    return _Letter(origin, start, head + body, outgoing, gate)


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
