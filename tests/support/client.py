"""A small blocking client of the HTTP API, on the standard library alone."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

API = "/api/dtmsvr/"
FINAL = ("succeed", "failed")


class Client:
    """`post` and `get` return (status, decoded body); a connection error is raised as OSError or HTTPException."""

    def __init__(self, url: str, timeout: float = 30, headers: dict[str, str] | None = None) -> None:
        self.address = urlsplit(url).netloc
        self.timeout = timeout
        self.headers = headers or {}

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.address, timeout=self.timeout)
        try:
            connection.request(method, path, body, self.headers)
            reply = connection.getresponse()
            text = reply.read()
            return reply.status, json.loads(text) if text else None
        finally:
            connection.close()

    def post(self, verb: str, body: Any = None, **query: Any) -> tuple[int, Any]:
        path = API + verb + (f"?{urlencode(query)}" if query else "")
        return self.request("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode())

    def get(self, verb: str, **query: Any) -> tuple[int, Any]:
        return self.request("GET", API + verb + (f"?{urlencode(query)}" if query else ""))

    def query(self, gid: str) -> dict[str, Any]:
        return self.get("query", gid=gid)[1]

    def status(self, gid: str) -> str | None:
        transaction = self.query(gid)["transaction"]
        return transaction and transaction["status"]

    def branches(self, gid: str) -> str:
        """Branch statuses in order, as one letter each: prepared, succeed, failed."""
        return "".join(branch["status"][0] for branch in self.query(gid)["branches"])

    def until_final(self, gid: str, within: float = 20) -> str:
        """Wait until the transaction has ended."""
        return self.until(gid, FINAL, within)

    def until(self, gid: str, statuses: tuple[str, ...], within: float = 20) -> str:
        deadline = time.monotonic() + within
        while (status := self.status(gid)) not in statuses:
            if time.monotonic() > deadline:
                raise AssertionError(f"{gid} is still {status}: {self.query(gid)}")
            time.sleep(0.02)
        return str(status)
