"""Deletes transactions that ended long ago (setting `retention.finished_days`): one node at a time, bit by bit.

Every node tries, slowly. Who does it holds a lease, an entry of the key-value area: `{"owner": node, "until": ms}` by
the database's clock. Should two be at it all the same, after one has stood still, no harm comes of it.
"""

from __future__ import annotations

import asyncio
import logging

import orjson

from dtm.core.errors import DtmError
from dtm.core.node import Node
from dtm.core.store.base import KV

CATEGORY, KEY = "dtm", "retention"

PACE = 60.0
"""Seconds from one try to the next, up to a quarter less at random."""

LEASE = 30.0
CHUNK = 500
"""Transactions that one statement deletes at most."""

PAUSE = 0.02
"""Seconds of rest after each chunk; as long as the chunk took if that is more."""

DAY = 86_400_000

log = logging.getLogger(__name__)


class Retention:
    """One loop. Transactions that ended more than `keep_days` days ago are deleted; unfinished ones never."""

    def __init__(self, node: Node, keep_days: float) -> None:
        self._node = node
        self._keep = round(keep_days * DAY)
        self._told = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to try."""
        self._task = asyncio.get_running_loop().create_task(self._rounds())

    async def stop(self) -> None:
        """Return when the chunk under way is done and the lease given up."""
        self._told.set()
        if self._task is not None:
            await self._task

    async def purge_once(self) -> int:
        """Delete all that is old enough, unless another node is at it; how many."""
        lease = _Lease(self._node)
        if not await lease.take():
            return 0
        store, clock = self._node.store, self._node.clock
        before, purged = store.now() - self._keep, 0
        try:
            while await lease.keep():
                began = clock.boot()
                number = await store.purge_finished(before, CHUNK)
                purged += number
                if number < CHUNK or await self._told_within(max(PAUSE, clock.boot() - began)):
                    break
        finally:
            if purged:
                log.info("retention: %d finished transactions deleted", purged)
            await lease.give_up()
        return purged

    async def _rounds(self) -> None:
        while not await self._told_within(PACE * self._node.rng.uniform(0.75, 1)):
            try:
                await self.purge_once()
            except DtmError as error:
                log.warning("retention: %s", error)
            except Exception:
                log.exception("retention goes on after")

    async def _told_within(self, seconds: float) -> bool:
        """Wait, unless we are told to stop: then True."""
        try:
            async with asyncio.timeout(seconds):
                return await self._told.wait()
        except TimeoutError:
            return False


class _Lease:
    """The right to purge, taken and kept by compare-and-set."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._version = 0
        self._ends = 0.0

    async def take(self) -> bool:
        """Take it, unless somebody has it."""
        entry = await self._node.store.kv_get(CATEGORY, KEY)
        if entry is None:
            return await self._write(LEASE)
        self._version = entry.version
        return _until(entry) <= self._node.store.now() and await self._write(LEASE)

    async def keep(self) -> bool:
        """Whether it is ours for half its length at least; renewed when it is not."""
        return self._ends - self._node.clock.boot() >= LEASE / 2 or await self._write(LEASE)

    async def give_up(self) -> None:
        """Let the next one have it."""
        await self._write(0)

    async def _write(self, seconds: float) -> bool:
        """Make it end so many seconds from now, if nobody else has written since; whether it is so."""
        node = self._node
        ends = node.clock.boot() + seconds
        value = orjson.dumps({"owner": node.name, "until": node.store.now() + round(seconds * 1000)}).decode()
        if not await node.store.kv_put(CATEGORY, KEY, value, self._version):
            return False
        self._version += 1
        self._ends = ends
        return True


def _until(entry: KV) -> int:
    until: int = orjson.loads(entry.value)["until"]
    return until
