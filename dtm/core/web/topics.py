"""Topics, and the key-value store that they live in."""

from __future__ import annotations

from dtm.core.web.base import BaseHandler, HistoricalGet


class Subscribe(HistoricalGet):
    """Add a url to a topic."""

    async def change(self) -> None:
        """POST or GET subscribe?topic=&url=&remark="""
        await self.service.topics.subscribe(self.text("topic"), self.text("url"), self.text("remark"))
        self.succeed()


class Unsubscribe(HistoricalGet):
    """Take a url out of a topic."""

    async def change(self) -> None:
        """POST or GET unsubscribe?topic=&url="""
        await self.service.topics.unsubscribe(self.text("topic"), self.text("url"))
        self.succeed()


class Topic(BaseHandler):
    """One topic by name."""

    operator = True

    async def delete(self, name: str) -> None:
        """DELETE topic/<name>."""
        await self.service.topics.delete(name)
        self.succeed()


class ScanKV(BaseHandler):
    """A page of a category."""

    async def get(self) -> None:
        """GET scanKV?cat=&limit=&position="""
        self.reply(await self.service.topics.scan(self.text("cat"), self.limit(), self.text("position")))


class QueryKV(BaseHandler):
    """One key of a category."""

    async def get(self) -> None:
        """GET queryKV?cat=&key="""
        self.reply(await self.service.topics.get(self.text("cat"), self.text("key")))
