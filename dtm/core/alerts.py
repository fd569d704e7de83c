"""The alert hook: an observer that posts to a webhook when a branch keeps failing (contract 3.7)."""

from __future__ import annotations

import asyncio
import logging

import orjson

from dtm.core.hookspecs import BranchAnswered, Event
from dtm.core.model import Outcome
from dtm.core.transport.base import CallFailed, NotSent, Outgoing, Transport

log = logging.getLogger(__name__)

TIMEOUT = 3.0
MOST = 100
"""Alerts under way at once; in a storm the rest are dropped, the next failure tells again."""


class Alerts:
    """Posts `{"gid", "status", "branch", "error", "retry_count"}` from the `limit`-th failure in a row on, each time.

    Not for ONGOING, and not for questions to the application. The reply is ignored; nothing waits for it.
    """

    def __init__(self, transport: Transport, url: str, limit: int) -> None:
        self._transport = transport
        self._url = url
        self._limit = limit
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, event: Event) -> None:
        """Hear one event, and hand the slow part off."""
        if not isinstance(event, BranchAnswered) or event.question:
            return
        if event.outcome not in (Outcome.ERROR, Outcome.FAILURE) or event.attempts < max(self._limit, 1):
            return
        if len(self._tasks) >= MOST:
            log.warning("alert dropped, too many are under way: gid=%s", event.gid)
            return
        task = asyncio.get_running_loop().create_task(self._post(event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(self, event: BranchAnswered) -> None:
        alert = {
            "gid": event.gid,
            "status": event.status,
            "branch": event.url,
            "error": event.error,
            "retry_count": event.attempts,
        }
        headers = (("Content-Type", "application/json"),)
        try:
            call = Outgoing("POST", self._url, headers, orjson.dumps(alert), TIMEOUT)
            await self._transport.call(call, lambda: True)
        except (NotSent, CallFailed) as error:
            log.warning("alert not delivered: gid=%s: %s", event.gid, error)

    async def close(self) -> None:
        """Drop what is under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._transport.close()
