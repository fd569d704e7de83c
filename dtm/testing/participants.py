"""Participants over real HTTP on loopback, in a thread of their own: they answer as told and write down every call.

Example::

    with Participants() as participants:
        participants.answer("tell", ONGOING, failure("closed"))  # the next two calls; after them OK again
        ...  # have a coordinator call participants.url("tell")
        assert participants.of(gid) == ["tell 01 POST tell", ...]

As a pytest fixture of the name `participants`: `pytest_plugins = ["dtm.testing.fixtures"]` in conftest.py.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import tornado.web

from dtm.testing.served import Served

OK = (200, "null")
ONGOING = (425, '{"error":"ONGOING"}')
ERROR = (500, '{"error":"ERROR from user"}')

Reply = tuple[int, str]


def failure(reason: str) -> Reply:
    """409, as a participant that refuses for business reasons."""
    return 409, json.dumps({"error": f"reason:{reason}. FAILURE"}, separators=(",", ":"))


@dataclass(frozen=True)
class Seen:
    """One call as it arrived. `path` without the base."""

    op: str
    branch_id: str
    method: str
    path: str
    gid: str
    trans_type: str
    body: str
    query: dict[str, str]
    headers: dict[str, str]

    def __str__(self) -> str:
        return f"{self.op} {self.branch_id} {self.method} {self.path}"


class Participants:
    """One HTTP server. `calls` is what it saw; `answer(path, *replies)` sets what the next calls of a path hear."""

    def __init__(self, prefix: str = "/") -> None:
        self._prefix = prefix
        self.calls: list[Seen] = []
        self.default: Reply = OK
        self._replies: defaultdict[str, deque[Reply | Callable[[Seen], Reply]]] = defaultdict(deque)
        self._delays: dict[str, float] = {}
        self._lock = threading.Lock()
        self._served = Served((f"{prefix}(.*)", _Handler, {"participants": self}))
        self.port = self._served.port

    @property
    def base(self) -> str:
        """`http://127.0.0.1:PORT`, and the prefix without its last slash."""
        return f"http://127.0.0.1:{self.port}{self._prefix.rstrip('/')}"

    def url(self, name: str) -> str:
        """The url of one path."""
        return f"{self.base}/{name}"

    def answer(self, name: str, *replies: Reply | Callable[[Seen], Reply]) -> None:
        """The next calls of this path hear these, in turn; after that OK again."""
        with self._lock:
            self._replies[name].extend(replies)

    def delay(self, name: str, seconds: float) -> None:
        """Every call of this path takes that long."""
        self._delays[name] = seconds

    def of(self, gid: str) -> list[str]:
        """The calls of one transaction, each as `op branch METHOD path`."""
        with self._lock:
            return [str(call) for call in self.calls if call.gid == gid]

    def seen(self, gid: str) -> list[Seen]:
        """The calls of one transaction."""
        with self._lock:
            return [call for call in self.calls if call.gid == gid]

    def close(self) -> None:
        """Stop the server and its thread."""
        self._served.close()

    def __enter__(self) -> Participants:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def serve(self, seen: Seen) -> Reply:
        """Write the call down and choose the reply."""
        with self._lock:
            self.calls.append(seen)
            queue = self._replies[seen.path]
            reply = queue.popleft() if queue else self.default
        if seen.path in self._delays:
            await asyncio.sleep(self._delays[seen.path])
        return reply(seen) if callable(reply) else reply


class _Handler(tornado.web.RequestHandler):
    def initialize(self, participants: Participants) -> None:
        self.participants = participants

    def on_connection_close(self) -> None:
        """The caller hung up; what was begun goes on."""

    async def serve(self, path: str) -> None:
        query: dict[str, Any] = dict(parse_qsl(urlsplit(self.request.uri or "").query, keep_blank_values=True))
        seen = Seen(
            query.get("op", ""),
            query.get("branch_id", ""),
            self.request.method or "",
            path,
            query.get("gid", ""),
            query.get("trans_type", ""),
            self.request.body.decode(),
            query,
            {name.lower(): value for name, value in self.request.headers.get_all()},
        )
        status, body = await self.participants.serve(seen)
        self.set_status(status)
        self.finish(body or None)

    get = post = serve
