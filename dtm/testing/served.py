"""A Tornado application that is served in a thread of its own, on a free port of loopback."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import tornado.httpserver
import tornado.netutil
import tornado.web

T = TypeVar("T")


class Served:
    """Serves from its making until it is closed. handler: one (pattern, class, arguments), as Tornado takes it."""

    port: int

    def __init__(self, handler: tuple[Any, ...]) -> None:
        self._application = tornado.web.Application([handler], log_function=lambda _: None)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait()

    def run(self, function: Callable[[], T]) -> T:
        """What a function returns that is run in the serving thread, where the handlers are."""

        async def called() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(called(), self._loop).result()

    def close(self) -> None:
        """Stop the server and its thread; requests that are under way are cut off."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve(ready))
        self._loop.close()

    async def _serve(self, ready: threading.Event) -> None:
        server = tornado.httpserver.HTTPServer(self._application)
        sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
        self.port = sockets[0].getsockname()[1]
        server.add_sockets(sockets)
        ready.set()
        await self._stop.wait()
        server.stop()
        await server.close_all_connections()
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()
        await asyncio.sleep(0)
