"""Where the calls of a bank that is a process of its own arrive: they are written down, and passed on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from tornado.httpclient import HTTPClientError
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from tests.client.bank.books import Books
from tests.support.bank import Desk
from tests.support.participants import Reply, Seen
from tests.support.service import Service

PASSED_ON = ("content-type", "dtm-epoch")


class ServiceBank(Desk):
    """A bank behind a proxy. patience: s until a call without an answer counts as one that failed."""

    def __init__(
        self, name: str, accounts: Mapping[str, int], books: Books, service: Service, patience: float, **habits: Any
    ) -> None:
        self.books = books
        self.service = service
        self.patience = patience
        self._http: SimpleAsyncHTTPClient | None = None
        super().__init__(name, accounts, **habits)

    def begin(self) -> None:
        """Open the books and start the service."""
        self.books.create(self.opening)
        self.service.start()

    def close(self) -> None:
        """Stop both."""
        super().close()
        self.service.kill()

    async def carry_out(self, seen: Seen) -> Reply:
        """Its answer; 502 when it is not there, or does not answer."""
        if self._http is None:  # of this thread's loop
            self._http = SimpleAsyncHTTPClient(force_instance=True, max_clients=1000)
        try:
            reply = await self._http.fetch(
                f"http://127.0.0.1:{self.service.port}/{seen.path}?{urlencode(seen.query)}",
                method=seen.method,
                headers={name: value for name, value in seen.headers.items() if name.lower() in PASSED_ON},
                body=seen.body if seen.method == "POST" else None,
                request_timeout=self.patience,
                raise_error=False,
            )
        except (OSError, HTTPClientError) as error:
            return 502, json.dumps({"error": repr(error)})
        return (502 if reply.code == 599 else reply.code), reply.body.decode()

    def rows(self, query: str) -> list[tuple]:
        """What the books have."""
        return self.books.rows(query)
