"""Names to addresses, remembered for a few seconds, looked up once however many ask."""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from dtm.core.transport.base import NotSent

_THREADS = 16


class Resolver:
    """Resolves host names in threads of its own: a name server that hangs holds up nobody else's threads.

    ttl: seconds for which an answer is good. size: how many answers are kept.
    """

    def __init__(self, ttl: float = 5.0, size: int = 1024) -> None:
        self._ttl = ttl
        self._size = size
        self._known: OrderedDict[str, tuple[float, tuple[str, ...]]] = OrderedDict()
        self._asked: dict[str, asyncio.Future[tuple[str, ...] | Exception]] = {}
        self._threads: ThreadPoolExecutor | None = None

    async def addresses(self, host: str) -> tuple[str, ...]:
        """The IP addresses of a name, best first. NotSent: it has none."""
        loop = asyncio.get_running_loop()
        good_until, addresses = self._known.get(host, (0.0, ()))
        if loop.time() < good_until:
            self._known.move_to_end(host)
            return addresses
        asked = self._asked.get(host)
        if asked is None:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="dtm-resolver")
            asked = self._asked[host] = loop.run_in_executor(self._threads, _look_up, host)
            asked.add_done_callback(partial(self._answered, host))
        # One caller's time-out must not take the answer from the others.
        answer = await asyncio.shield(asked)
        if isinstance(answer, Exception):
            text = getattr(answer, "strerror", None) or str(answer)
            raise NotSent(f"cannot resolve {host}: {text}") from answer
        return answer

    def _answered(self, host: str, asked: asyncio.Future[tuple[str, ...] | Exception]) -> None:
        del self._asked[host]
        if asked.cancelled():
            return
        answer = asked.result()
        if not isinstance(answer, Exception):
            self._known[host] = (asked.get_loop().time() + self._ttl, answer)
            self._known.move_to_end(host)
            if len(self._known) > self._size:
                self._known.popitem(last=False)

    def close(self) -> None:
        """Forget everything. Idempotent."""
        self._known.clear()
        for asked in self._asked.values():
            asked.cancel()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str) -> tuple[str, ...] | Exception:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return error
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))
