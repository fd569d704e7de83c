"""Rows that nobody can do anything with: tried three times, then put where nobody claims them."""

from __future__ import annotations

import logging
from dataclasses import replace

from dtm.core.errors import DtmError
from dtm.core.logs import about
from dtm.core.node import Node
from dtm.core.row import Row
from dtm.core.store.base import QUARANTINE, Claim

log = logging.getLogger(__name__)

TRIES = 3


class Quarantine:
    """Counts how often this node failed at a row. What it gives up stays away until `Store.release`, or a restart."""

    def __init__(self, node: Node) -> None:
        self.unfit = 0
        """Rows so far that could not be run, each time counted."""
        self.quarantined = 0
        """Rows put into quarantine so far."""
        self._node = node
        self._failures: dict[int, int] = {}

    async def refused(self, claim: Claim, why: str) -> None:
        """A claimed row cannot even be begun: it is free again for others, after a lease."""
        if self._count(claim.tx.id):
            await self._shut_away(claim, why)
            return
        log.warning("cannot be run: gid=%s: %s", claim.tx.gid, why, extra=about(claim.tx.gid))
        await self._give_back(claim, self._node.store.now() + round(self._node.lease * 1000))

    async def broke_off(self, row: Row, token: str, why: str) -> None:
        """A pass of this row came to no end; what it had in the air is in doubt until its lease runs out."""
        if self._count(row.tx.id):
            # Whoever takes it out of here again must suppose that calls have begun.
            await self._shut_away(Claim(replace(row.tx, owner=token), found_doubt=True, found_due=0), why)

    def ran(self, row_id: int) -> None:
        """A pass of this row came to its end."""
        if self._failures:
            self._failures.pop(row_id, None)

    def _count(self, row_id: int) -> bool:
        """Whether this was once too often."""
        self.unfit += 1
        times = self._failures.pop(row_id, 0) + 1
        if times < TRIES:
            self._failures[row_id] = times
        return times >= TRIES

    async def _shut_away(self, claim: Claim, why: str) -> None:
        log.error("quarantined: gid=%s: %s", claim.tx.gid, why, extra=about(claim.tx.gid))
        self.quarantined += await self._give_back(claim, QUARANTINE)

    async def _give_back(self, claim: Claim, due_at: int) -> bool:
        try:
            return await self._node.store.give_back(claim, due_at)
        except DtmError as error:  # its lease runs out, and the next claim tries again
            log.warning("store: %s: gid=%s", error, claim.tx.gid, extra=about(claim.tx.gid))
            return False
