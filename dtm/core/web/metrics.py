"""The page that Prometheus reads."""

from __future__ import annotations

from dtm.core.web.base import BaseHandler


async def no_figures() -> bytes:
    """The page of a server that counts nothing."""
    return b""


class Metrics(BaseHandler):
    """All figures. Where tokens are configured any of them will do: the figures say what business is done here."""

    async def get(self) -> None:
        """GET /api/metrics."""
        self.finish(await self.context.scrape(), content_type="text/plain; version=0.0.4; charset=utf-8")
