"""Making parked transactions due now."""

from __future__ import annotations

import re

from dtm.core.errors import InvalidRequest
from dtm.core.web.base import BaseHandler, HistoricalGet

SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class ResetCronTime(HistoricalGet):
    """All that are due later than a while from now."""

    async def change(self) -> None:
        """POST or GET resetCronTime?timeout=<seconds>&limit="""
        timeout = self.text("timeout")
        if timeout and not SECONDS.fullmatch(timeout):
            raise InvalidRequest("/timeout", f"convert to int error: {timeout}")
        self.reply(await self.service.schedule.reset_cron_time(float(timeout) if timeout else None, self.limit()))


class ResetNextCronTime(BaseHandler):
    """One transaction."""

    operator = True

    async def post(self) -> None:
        """POST resetNextCronTime."""
        await self.service.schedule.reset_next_cron_time(self.json_body())
        self.succeed()
