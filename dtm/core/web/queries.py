"""Looking at transactions."""

from __future__ import annotations

from dtm.core.web.base import BaseHandler


class Query(BaseHandler):
    """One transaction with its branches."""

    async def get(self) -> None:
        """GET query?gid="""
        self.reply(await self.service.queries.query(self.text("gid")))


class All(BaseHandler):
    """A page of transactions, newest first."""

    async def get(self) -> None:
        """GET all?limit=&position=&gid=&status=&transType=&createTimeStart=&createTimeEnd= (UTC milliseconds).

        Or all?attention=1&position=, and nothing else counts.
        """
        if self.text("attention") == "1":
            self.reply(await self.service.queries.attention(self.text("position")))
            return
        page = await self.service.queries.all(
            limit=self.limit(),
            position=self.text("position"),
            gid=self.text("gid"),
            status=self.text("status"),
            trans_type=self.text("transType"),
            created_from=self.integer("createTimeStart"),
            created_to=self.integer("createTimeEnd"),
        )
        self.reply(page)
