"""One coordinator of a simulation: the real service, scheduler, engine and group commit, without the HTTP shell."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import orjson

from dtm.core.model import Transaction, Verb
from dtm.core.node import Node
from dtm.core.passes import Passes
from dtm.core.registry import Registered
from dtm.core.row import Rules
from dtm.core.scheduler import Scheduler
from dtm.core.schemas import Schemas
from dtm.core.service import Service
from dtm.core.service.intake import Reader, without_nulls
from dtm.core.service.topics import CATEGORY
from dtm.core.service.verbs import Verbs
from dtm.core.store.base import KV, Claim, Save
from dtm.core.store.group_commit import Item, Verdict
from dtm.core.store.memory import MemoryDatabase, MemoryStore
from dtm.core.transport.base import Transport
from dtm.core.transport.slots import Slots
from dtm.testing.history import History
from dtm.testing.loop import VirtualClock, VirtualLoop, place
from dtm.testing.scenario import Step

RETRY_INTERVAL, RETRY_MAX, REQUEST_TIMEOUT, TIMEOUT, LEASE, POLL = 1.0, 4.0, 0.5, 6.0, 3.0, 1.0
WRITE_BEHIND = 0.1
GRACE = 1.0

SCHEMAS = Schemas()
TOPIC = orjson.dumps([{"url": f"http://subscriber/{name}", "remark": ""} for name in ("a", "b")]).decode()

VERBS: Mapping[str, Callable[[Verbs, Mapping[str, Any]], Coroutine[Any, Any, None]]] = {
    Verb.PREPARE: Verbs.prepare,
    Verb.SUBMIT: Verbs.submit,
    Verb.ABORT: Verbs.abort,
    Verb.REGISTER: Verbs.register_branch,
    Verb.FORCE_STOP: Verbs.force_stop,
}


class Around(ABC):
    """What a node needs to know of the world around it."""

    loop: VirtualLoop
    clock: VirtualClock
    history: History
    database: MemoryDatabase

    @abstractmethod
    async def hazard(self, node: str) -> None:
        """A point at which something may strike this node; if it dies, this never returns."""

    @abstractmethod
    async def reached(self, node: str) -> None:
        """Wait while this node cannot reach the database."""


class Recorded(MemoryDatabase):
    """The database, writing down every committed write."""

    def __init__(self, loop: VirtualLoop, history: History) -> None:
        super().__init__()
        self._loop = loop
        self._history = history

    def put(self, row: Transaction) -> None:
        """Commit one row."""
        super().put(row)
        self._history.add(
            self._loop.time(),
            "row",
            place.get(),
            status=row.status,
            branches=tuple((branch.key, branch.status) for branch in row.branches),
            version=row.version,
            text=row.reason,
            why=row.trouble,
        )


class SimStore(MemoryStore):
    """One node's way to the database; a write may be the last thing the node does, or may not even reach it."""

    def __init__(self, around: Around, name: str, rng: random.Random) -> None:
        super().__init__(around.database, clock=around.clock, rng=rng)
        self._around = around
        self._name = name

    async def _flush(self, items: list[Item]) -> list[Verdict]:
        await self._around.hazard(self._name)
        await self._around.reached(self._name)
        verdicts = await super()._flush(items)
        await self._around.hazard(self._name)
        return verdicts

    async def load(self, gid: str) -> Transaction | None:
        """As the contract says, when the database can be reached; so all others."""
        await self._around.reached(self._name)
        return await super().load(gid)

    async def claim_due(self, owner: str, limit: int, lease: float, ahead: float = 0.0) -> list[Claim]:
        await self._around.reached(self._name)
        claims = await super().claim_due(owner, limit, lease, ahead)
        for claim in claims:
            text = "doubt" if claim.found_doubt else ""
            self._around.history.add(self._around.loop.time(), "claim", self._name, text=text)
        return claims

    async def renew(self, held: Mapping[int, str], lease: float) -> set[int]:
        await self._around.reached(self._name)
        return await super().renew(held, lease)

    async def owned_versions(self, held: Mapping[int, str]) -> dict[int, int]:
        await self._around.reached(self._name)
        return await super().owned_versions(held)

    async def save(self, change: Save) -> int:
        await self._around.reached(self._name)
        return await super().save(change)

    async def kv_get(self, cat: str, key: str) -> KV | None:
        """Every topic that anybody names has two subscribers."""
        return KV(cat, key, TOPIC, 1, 0, 0) if cat == CATEGORY else await super().kv_get(cat, key)


class SimNode:
    """One coordinator."""

    def __init__(self, around: Around, name: str, registered: Registered, transport: Transport, seed: float) -> None:
        rng = random.Random(seed)
        self.store = SimStore(around, name, rng)
        protocol, settings = registered.protocol, registered.settings
        rules = Rules(protocol, settings, RETRY_INTERVAL, RETRY_MAX, REQUEST_TIMEOUT, TIMEOUT)
        self.node = Node(
            store=self.store,
            transport=transport,
            slots=Slots(64),
            clock=around.clock,
            rules={protocol.name: rules},
            rng=rng,
            lease=LEASE,
            poll_interval=POLL,
            write_behind=WRITE_BEHIND,
        )
        self.passes = Passes(self.node)
        self.scheduler = Scheduler(self.node, self.passes)
        reader = Reader({protocol.name: registered}, SCHEMAS)
        self.service = Service(self.node, self.passes, reader, timeout_to_fail=TIMEOUT)
        self._opening: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Open the store and begin to claim."""
        self._opening = asyncio.get_event_loop().create_task(self._start())

    async def _start(self) -> None:
        await self.store.open()
        self.scheduler.start()

    async def serve(self, step: Step) -> None:
        """One request."""
        if self._opening is not None:
            await self._opening
        await VERBS[step.verb](self.service.verbs, without_nulls(step.body))

    async def stop(self) -> None:
        """As on SIGTERM: let calls land within the grace, park, let go of everything."""
        await self.scheduler.stop(GRACE)
        await self.passes.drain(0)
        await self.store.close()
