"""Claims what is due, keeps leases, wakes up for what is due before the next poll (architecture, section 5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from dtm.core.errors import DtmError
from dtm.core.logs import about
from dtm.core.node import Node
from dtm.core.passes import Passes, Start
from dtm.core.store.base import Claim

log = logging.getLogger(__name__)

T = TypeVar("T")

BATCH = 100
HOUSEKEEPING = 0.5


class Scheduler:
    """Two loops: one claims, one looks after the leases of what runs here."""

    def __init__(self, node: Node, passes: Passes) -> None:
        self._node = node
        self._passes = passes
        self._wake = asyncio.Event()
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._troubles: dict[Callable[[], Awaitable[object]], str] = {}
        """What the store said last to each of the two, if that was trouble."""
        self.claimed = 0
        """Rows claimed so far."""
        passes.on_parked = self.wake_at

    def start(self) -> None:
        """Begin to claim and to renew."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._claim_loop()), loop.create_task(self._every(HOUSEKEEPING, self._tend))]

    async def stop(self, grace: float) -> None:
        """Claim nothing more, drain the passes, then let their leases go (SIGTERM, law 13)."""
        self._node.draining = True
        claiming, tending = self._tasks[:1], self._tasks[1:]
        self._wake.set()
        if claiming:
            # Not cancelled at once: a claim under way brings rows that have to be let go of.
            await asyncio.wait(claiming, timeout=grace)
        await _end(claiming)
        await self._passes.drain(grace)
        await _end(tending)
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    async def claim_once(self, ahead: float = 0.0) -> int:
        """Claim one batch of what is due within `ahead` seconds, and start it; how many rows were claimed."""
        if self._passes.full:
            return 0
        node = self._node
        boot = node.clock.boot()
        claims = await node.store.claim_due(node.token(), BATCH, node.lease, ahead)
        self._store_answers()
        self.claimed += len(claims)
        horizon = node.store.now() + round(ahead * 1000)
        faults = [self._begin(claim, boot, horizon) for claim in claims]
        for claim, fault in zip(claims, faults, strict=True):
            if fault:  # only now that the others have started: trouble with one must not cost them anything
                await self._passes.quarantine.refused(claim, fault)
        return len(claims)

    def _begin(self, claim: Claim, boot: float, horizon: int) -> str:
        """Start what was claimed; or why that cannot be done."""
        tx, node = claim.tx, self._node
        if claim.unreadable:
            return claim.unreadable
        if tx.trans_type not in node.rules:
            return f"no protocol {tx.trans_type!r} here"
        if not node.rules[tx.trans_type].protocol.runs(tx.protocol_version):
            return f"no version {tx.protocol_version!r} of protocol {tx.trans_type!r} here"
        try:
            waits = [b.retry_at for b in (*tx.branches, *tx.questions) if b.retry_at is not None]
            called_for = claim.found_due < min(waits, default=0)
            forget = None if called_for else horizon
            self._passes.start(Start(tx, boot + node.lease, boot, claim.found_doubt, forget))
        except Exception as error:
            return f"cannot be started: {error!r}"
        if claim.found_doubt:
            log.warning("taken over in doubt: gid=%s status=%s", tx.gid, tx.status, extra=about(tx.gid))
        return ""

    def wake_at(self, due: int) -> None:
        """A row was parked until `due` (ms): if that is before the next poll, a timer of our own wakes us."""
        wait = (due - self._node.store.now()) / 1000
        if wait >= self._node.poll_interval or due in self._timers or self._node.draining:
            return
        self._timers[due] = asyncio.get_running_loop().call_later(max(wait, 0) + 0.001, self._ring, due)

    def _ring(self, due: int) -> None:
        self._timers.pop(due, None)
        self._wake.set()

    async def _claim_loop(self) -> None:
        while not self._node.draining:
            self._wake.clear()
            if await self._guarded(self.claim_once) == BATCH or self._node.draining:
                continue
            try:
                async with asyncio.timeout(self._node.poll_interval):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _tend(self) -> None:
        await self._passes.renew()
        await self._passes.look()

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(min(seconds, self._node.lease / 6))
            await self._guarded(work)

    async def _guarded(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """Trouble with the store must not end a loop: the next round tries again. What it is, is logged once."""
        try:
            return await work()
        except DtmError as error:
            known, self._troubles[work] = self._troubles.get(work), str(error)
            if str(error) != known:
                log.warning("store: %s", error)
        except Exception:
            log.exception("the scheduler goes on after")
        return None

    def _store_answers(self) -> None:
        if self._troubles:
            self._troubles.clear()
            log.info("store: it answers again")


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
