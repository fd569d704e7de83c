"""What the stage wants of a bank, wherever it keeps its books."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import tornado.web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

Routes = list[tuple[str, type[tornado.web.RequestHandler], dict[str, Any]]]


class Participant(ABC):
    """A server on loopback; `url` is good after `start()`."""

    def __init__(self, name: str, routes: Routes) -> None:
        self.name = name
        self.url = ""
        self._server = HTTPServer(tornado.web.Application(routes, log_function=lambda handler: None))

    def start(self, port: int = 0) -> None:
        """Listen; port 0 picks a free one."""
        sockets = bind_sockets(port, "127.0.0.1")
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        self._server.add_sockets(sockets)

    async def stop(self) -> None:
        """Hang up."""
        self._server.stop()
        await self._server.close_all_connections()

    @abstractmethod
    async def balance(self) -> tuple[int, int]:
        """The balance, and how much of it is frozen."""

    @abstractmethod
    async def effects(self, gid: str) -> list[tuple[str, str]]:
        """(branch_id, op) of each effect of a transaction, in order."""

    async def prepared(self, gid: str) -> list[str]:
        """The XA transactions, of those that belong to a transaction, whose end the database is still waiting for."""
        return []
