"""Operators' hands on the schedule: make parked transactions due now (contract 1.11)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dtm.core.errors import NotFound, StaleVersion
from dtm.core.node import Node
from dtm.core.passes import Passes
from dtm.core.service.intake import Reader
from dtm.core.store.base import Hold, Save


class Schedule:
    """Changes when something is tried next, never what is tried."""

    def __init__(self, node: Node, passes: Passes, reader: Reader, timeout_to_fail: float) -> None:
        self._node = node
        self._passes = passes
        self._reader = reader
        self._default_timeout = 3 * timeout_to_fail

    async def reset_cron_time(self, timeout: float | None, limit: int) -> dict[str, Any]:
        """Make up to `limit` unfinished ones due now that would wait longer than `timeout` s (3 * timeout_to_fail)."""
        later_than = self._default_timeout if timeout is None else timeout
        count = await self._node.store.make_due(later_than, limit)
        if count:
            self._passes.on_parked(self._node.store.now())
        return {"has_remaining": count == limit, "succeed_count": count}

    async def reset_next_cron_time(self, body: Mapping[str, Any]) -> None:
        """Make this one due now, also out of quarantine; of one that runs or has ended, only the shown time changes."""
        gid = self._reader.reference(body)["gid"]
        if await self._node.store.release(gid):
            self._passes.on_parked(self._node.store.now())
            return
        while True:
            tx = await self._node.store.load(gid)
            if tx is None:
                raise NotFound(f"no TransGlobal with gid: {gid} found")
            now = self._node.store.now()
            hold = Hold("", now) if not tx.owner and not tx.status.final else None
            try:
                await self._node.store.save(Save(replace(tx, next_at=now), tx.version, hold=hold))
            except StaleVersion:
                continue
            if hold is not None:
                self._passes.on_parked(now)
            else:
                self._passes.notify(gid)
            return
