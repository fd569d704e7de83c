"""The page that Prometheus reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from dtm.core.web.base import BaseHandler

Scrape = Callable[[], Awaitable[bytes]]
"""Returns the whole page, in the text format of Prometheus."""


async def no_figures() -> bytes:
    """The page of a server that counts nothing."""
    return b""


class Metrics(BaseHandler):
    """All figures. Where tokens are configured any of them will do: the figures say what business is done here."""

    async def get(self) -> None:
        """GET /api/metrics."""
        page = await self.application.settings["scrape"]()
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(page)
