"""A coordinator inside the test's own loop: real HTTP, a real SQLite file, and the clock in the test's hands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from dtm.core.app import App
from dtm.core.config import Settings
from tests.support.client import Client


class Inside:
    """An `App` that serves over HTTP but claims nothing by itself: `tick()` is a cron visit of the contract's vectors.

    HTTP calls block, so they run on the loop's executor: `await inside.post("submit", body)`.
    """

    def __init__(self, folder: Path, **settings: Any) -> None:
        store = settings.pop("store", f"sqlite:///{folder}/dtm.db")
        self.app = App(Settings(store=store, port=0, **settings))

    async def start(self) -> None:
        await self.app.start(schedule=False)
        self.client = Client(f"http://127.0.0.1:{self.app.port}")

    async def stop(self) -> None:
        await self.app.stop()

    async def tick(self, sel: float = 180, now: float = 0) -> int:
        """Claim what is due within `sel` seconds, the time-out clock moved by `now`, and let it run; how many."""
        self.app.store.clock_offset = now
        claimed = await self.app.scheduler.claim_once(ahead=sel)
        await self.app.passes.idle()
        self.app.store.clock_offset = 0
        return claimed

    async def idle(self) -> None:
        """Let what runs come to its end."""
        await self.app.passes.idle()

    async def _blocking(self, function: Callable[..., Any], *arguments: Any, **query: Any) -> Any:
        return await asyncio.to_thread(lambda: function(*arguments, **query))

    def post(self, verb: str, body: Any = None, **query: Any) -> Awaitable[tuple[int, Any]]:
        return self._blocking(self.client.post, verb, body, **query)

    def get(self, verb: str, **query: Any) -> Awaitable[tuple[int, Any]]:
        return self._blocking(self.client.get, verb, **query)

    async def submit(self, body: dict[str, Any]) -> tuple[int, Any]:
        """Submit, and let the first pass come to its end."""
        answer = await self.post("submit", body)
        await self.idle()
        return answer

    async def status(self, gid: str) -> str | None:
        return await self._blocking(self.client.status, gid)

    async def branches(self, gid: str) -> str:
        return await self._blocking(self.client.branches, gid)

    async def transaction(self, gid: str) -> dict[str, Any]:
        return (await self._blocking(self.client.query, gid))["transaction"]
