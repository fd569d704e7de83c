"""What stands between the SDK and a coordinator in the tests: it lets only the contract through, and makes trouble.

So the SDK is known to need nothing that the original server does not have.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Any
from urllib.parse import parse_qsl

import tornado.web
from tornado.httpclient import AsyncHTTPClient

from dtm.testing.served import Served

OPTIONS = {
    "wait_result", "timeout_to_fail", "request_timeout", "retry_interval", "branch_headers", "concurrent",
    "retry_limit",
}  # fmt: skip
TRANSACTION = {"gid", "trans_type", "steps", "payloads", "query_prepared", "protocol", "custom_data", *OPTIONS}
BODIES = {
    "prepare": TRANSACTION,
    "submit": TRANSACTION,
    "abort": {"gid", "trans_type", "rollback_reason", *OPTIONS},
    "forceStop": {"gid"},
    "registerBranch": {"gid", "trans_type", "branch_id", "data", "confirm", "cancel"},
}
"""Section 1.0 to 1.6 of the contract: what a body may hold."""

QUERIES = {"newGid": set(), "query": {"gid"}}
REPLIES = {
    "dtm_result", "message", "gid", "transaction", "branches",
    # of a transaction (1.7)
    "id", "create_time", "update_time", "trans_type", "status", "query_prepared", "protocol", "finish_time",
    "rollback_time", "result", "rollback_reason", "options", "custom_data", "next_cron_interval", "next_cron_time",
    "owner", "ext_data", "concurrent",
    # of a branch
    "url", "bin_data", "branch_id", "op",
}  # fmt: skip
OURS = {"errors", "pointer"}
"""What our server says beyond the original one: with `status` in a 409, all that the SDK may use when it is there."""


class Middle:
    """One proxy. `original`: replies are cut down to what the original server says.

    `troubles`: what becomes of the next requests that change something, in turn: "lost" is forwarded, and its answer
    lost; "away" is not forwarded and 503; "broken" is forwarded, and answered 500; "fine" is nothing. `faults`: what
    the SDK asked for that is not in the contract.
    """

    def __init__(self, upstream: str, *, original: bool = False) -> None:
        self.upstream = upstream
        self.original = original
        self.troubles: deque[str] = deque()
        self.faults: list[str] = []
        self.requests: list[str] = []
        self._served = Served((r"(.*)", _Handler, {"middle": self}))
        self.url = f"http://127.0.0.1:{self._served.port}"

    def close(self) -> None:
        self._served.close()

    def judge(self, method: str, path: str, query: str, body: bytes) -> None:
        """Write down what is not in the contract."""
        name = path.removeprefix("/api/dtmsvr/")
        allowed = BODIES if method == "POST" else QUERIES
        keys = json.loads(body) if method == "POST" else dict(parse_qsl(query))
        self.requests.append(name)
        if not path.startswith("/api/dtmsvr/") or name not in allowed:
            self.faults.append(f"{method} {path}")
        elif beyond := set(keys) - allowed[name]:
            self.faults.append(f"{method} {path}: {sorted(beyond)}")

    def cut(self, value: Any, status: int) -> Any:
        """A reply as its reader may expect it."""
        keys = REPLIES if self.original else REPLIES | OURS
        if isinstance(value, list):
            return [self.cut(item, status) for item in value]
        if not isinstance(value, dict):
            return value
        kept = {key: self.cut(item, status) for key, item in value.items() if key in keys}
        if self.original and status == 409:
            kept.pop("status", None)
        return kept


class _Handler(tornado.web.RequestHandler):
    def initialize(self, middle: Middle) -> None:
        self.middle = middle

    async def pass_on(self, path: str) -> None:
        request, middle = self.request, self.middle
        middle.judge(request.method, path, request.query, request.body)
        trouble = middle.troubles.popleft() if middle.troubles and request.method == "POST" else "fine"
        if trouble == "away":
            self.set_status(503)
            self.finish({"message": "not now"})
            return
        reply = await AsyncHTTPClient().fetch(
            middle.upstream + request.uri,
            method=request.method,
            headers={k: v for k, v in request.headers.get_all() if k in ("Authorization", "Content-Type")},
            body=request.body if request.method == "POST" else None,
            raise_error=False,
            request_timeout=30,
        )
        if trouble == "lost":
            self.request.connection.stream.close()
            return
        self.set_status(500 if trouble == "broken" else reply.code)
        self.finish({"message": "?"} if trouble == "broken" else middle.cut(json.loads(reply.body), reply.code))

    get = post = pass_on
