"""Waiting for a result: until the pass parks or the status is final (contract, point 3; architecture, "Waiting")."""

from __future__ import annotations

import asyncio

from dtm.core.errors import Conflict, NotFound, NotYet, StoreUnavailable
from dtm.core.model import Branch, Outcome, Status, Transaction
from dtm.core.node import Node
from dtm.core.passes import Passes

POLL_FIRST, POLL_MOST = 0.02, 0.5


class Waiting:
    """Lets a caller hear how the pass ended, wherever it runs."""

    def __init__(self, node: Node, passes: Passes) -> None:
        self._node = node
        self._passes = passes

    async def until_settled(self, gid: str, goal: Status) -> None:
        """Return when `goal` was reached; Conflict when it was not and will not be, or NotYet when it still may."""
        tx = await self._passes.wait(gid)
        if tx is None or tx.owner:
            tx = await self._elsewhere(gid)
        self._judge(tx, goal)

    async def _elsewhere(self, gid: str) -> Transaction:
        """Another node owns the row, or nobody does: read it until it is free or final, or this node is to stop.

        NotYet when its lease ran out longer ago than a lease lasts: it stands still, and who knows for how long.
        """
        pause = POLL_FIRST
        while True:
            try:
                tx = await self._node.store.load(gid)
            except StoreUnavailable as error:  # what the caller waits for is stored: a 503 would say it is not
                raise NotYet(f"ONGOING: the transaction is stored, but the store does not answer: {error}") from error
            if tx is None:
                raise NotFound(f"no TransGlobal with gid: {gid} found")
            if tx.status.final or not tx.owner or self._node.draining:
                return tx
            if tx.due_at is not None and self._node.store.now() - tx.due_at > 1000 * self._node.lease:
                raise NotYet("ONGOING: the transaction is stored, and nobody runs it at present")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, POLL_MOST)

    def _judge(self, tx: Transaction, goal: Status) -> None:
        if tx.status is goal:
            return
        if goal is Status.SUCCEED and tx.status in (Status.ABORTING, Status.FAILED):
            raise Conflict(tx.reason or "rolled back", tx.status)
        last = last_answer(tx)
        if last is not None and last.pending and last.log[-1].outcome is Outcome.FAILURE:  # and it was not foreseen
            raise Conflict(last.error, tx.status)
        if self._node.draining:
            raise NotYet("ONGOING: this coordinator is shutting down; the transaction is stored and goes on")
        if self._node.rules[tx.trans_type].protocol.unfinished is Outcome.FAILURE:
            raise Conflict("wait result not return success:", tx.status)
        raise NotYet("ONGOING")


def last_answer(tx: Transaction) -> Branch | None:
    """The branch or question that answered last."""
    answered = [branch for branch in (*tx.branches, *tx.questions) if branch.log]
    return max(answered, key=lambda branch: branch.ended_at or 0, default=None)
