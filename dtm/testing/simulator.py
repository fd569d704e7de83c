"""simulate(): the real engine, scheduler, service and group commit, in virtual time, among faulty participants."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from dtm.core.config import Settings
from dtm.core.discovery import Source
from dtm.core.errors import Conflict, DtmError, InvalidRequest, NotFound
from dtm.core.model import Transaction
from dtm.core.node import Node
from dtm.core.passes import Passes
from dtm.core.protocol import Protocol
from dtm.core.registry import Registered, registered
from dtm.core.row import Rules
from dtm.core.scheduler import Scheduler
from dtm.core.schemas import Schemas
from dtm.core.service import Service
from dtm.core.service.intake import Reader
from dtm.core.service.verbs import Verbs
from dtm.core.store.base import Claim
from dtm.core.store.group_commit import Item, Verdict
from dtm.core.store.memory import MemoryDatabase, MemoryStore
from dtm.core.transport.slots import Slots
from dtm.testing.history import History
from dtm.testing.loop import VirtualClock, VirtualLoop, place, run
from dtm.testing.participants import Participants
from dtm.testing.scenario import Faults, Step

RETRY_INTERVAL, RETRY_MAX, REQUEST_TIMEOUT, TIMEOUT, LEASE, POLL = 1.0, 4.0, 0.5, 6.0, 3.0, 1.0
WRITE_BEHIND = 0.1
HORIZON = 300.0
"""Virtual seconds after which a run that has not come to rest is given up."""


class _Recorded(MemoryDatabase):
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


class _SimStore(MemoryStore):
    """One node's way to the database; a write may be the last thing the node does, or may not even reach it."""

    def __init__(self, world: _World, name: str, **kwargs: Any) -> None:
        super().__init__(world.database, **kwargs)
        self._world = world
        self._name = name

    async def _flush(self, items: list[Item]) -> list[Verdict]:
        await self._world.hazard(self._name)
        verdicts = await super()._flush(items)
        await self._world.hazard(self._name)
        return verdicts

    async def claim_due(self, owner: str, limit: int, lease: float, ahead: float = 0.0) -> list[Claim]:
        claims = await super().claim_due(owner, limit, lease, ahead)
        for claim in claims:
            text = "doubt" if claim.found_doubt else ""
            self._world.history.add(self._world.loop.time(), "claim", self._name, text=text)
        return claims


class _World:
    """Everything there is in one simulation."""

    def __init__(self, protocol: Protocol, faults: Faults, seed: int, settings: Mapping[str, Any]) -> None:
        self.rng = random.Random(seed)
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop)
        self.history = History(seed)
        self.database = _Recorded(self.loop, self.history)
        self.faults = faults
        self.registered = _registered(protocol, settings)
        rules = Rules(protocol, settings, RETRY_INTERVAL, RETRY_MAX, REQUEST_TIMEOUT, TIMEOUT)
        self.rules = {protocol.name: rules}
        self.participants = Participants(self.loop, self.history, self.rng)
        self.participants.behave(faults.script, faults.verdicts, faults.trouble)
        self.nodes: dict[str, _SimNode] = {}
        self._points = 0
        self._crashes = 0

    async def hazard(self, name: str) -> None:
        """A point at which a node may crash: then this never returns."""
        await asyncio.sleep(self.rng.choice((0.0, 0.0, 0.002)))
        point, self._points = self._points, self._points + 1
        if self.faults.crash_at is not None:
            strikes = point in self.faults.crash_at
        else:
            strikes = self._crashes < self.faults.crashes and self.rng.random() < self.faults.crash
        if strikes:
            self._crashes += 1
            self.crash(name)
            await asyncio.get_running_loop().create_future()

    def crash(self, name: str) -> None:
        """kill -9."""
        self.history.add(self.loop.time(), "crash", name)
        del self.nodes[name]
        self.loop.call_later(self.faults.back, self.boot, name)
        self.loop.kill(name)

    def boot(self, name: str) -> None:
        """Start a node, as a process of its own."""
        token = place.set(name)
        try:
            self.history.add(self.loop.time(), "start", name)
            self.nodes[name] = node = _SimNode(self, name)
            node.start()
        finally:
            place.reset(token)

    async def main(self, steps: Sequence[Step], gid: str) -> History:
        """Run to the end."""
        for index in range(self.faults.nodes):
            self.boot(f"n{index}")
        asides = [self.loop.create_task(self._client([step])) for step in steps if step.aside]
        await self._client([step for step in steps if not step.aside])
        await asyncio.gather(*asides)
        for _ in range(round(HORIZON / POLL)):
            if self._at_rest(gid):
                break
            await asyncio.sleep(POLL)
        self.history.quiet = self._at_rest(gid)
        row_id = self.database.ids.get(gid)
        self.history.final = None if row_id is None else self.database.rows[row_id]
        return self.history

    def _at_rest(self, gid: str) -> bool:
        row_id = self.database.ids.get(gid)
        if any(len(node.passes) for node in self.nodes.values()):
            return False
        if row_id is None:
            return True
        row = self.database.rows[row_id]
        return (row.status.final and not row.owner) or row.due_at is None

    async def _client(self, steps: Sequence[Step]) -> None:
        for step in steps:
            await asyncio.sleep(step.after)
            while True:
                self._note("invoke", step)
                said, why = await self._ask(step)
                self._note(said, step, why)
                if said != "unknown" or not step.stubborn:
                    break
                await asyncio.sleep(0.3)

    async def _ask(self, step: Step) -> tuple[str, str]:
        """Send a request to a node that lives, and hear `ok`, `refused` or `unknown`, and why."""
        if not self.nodes:
            await asyncio.sleep(self.faults.back)
            return "unknown", "nobody there"
        name = self.rng.choice(sorted(self.nodes))
        token = place.set(name)
        try:
            task = self.loop.create_task(self.nodes[name].serve(step))
        finally:
            place.reset(token)
        await asyncio.wait([task])
        if task.cancelled():
            return "unknown", "the node crashed"
        error = task.exception()
        if error is None:
            return "ok", ""
        if isinstance(error, Conflict | InvalidRequest | NotFound):
            return "refused", str(error)
        if isinstance(error, DtmError):
            return "unknown", str(error)
        raise error

    def _note(self, kind: str, step: Step, why: str = "") -> None:
        branch_id = step.body.get("branch_id")
        key = (branch_id, step.verb) if branch_id else None
        self.history.add(self.loop.time(), kind, text=step.verb, key=key, why=why)


class _SimNode:
    """One coordinator without its HTTP shell."""

    def __init__(self, world: _World, name: str) -> None:
        rng = random.Random(world.rng.random())
        self.store = _SimStore(world, name, clock=world.clock, rng=rng)
        self.node = Node(
            store=self.store,
            transport=world.participants.at(name),
            slots=Slots(64),
            clock=world.clock,
            rules=world.rules,
            rng=rng,
            lease=LEASE,
            poll_interval=POLL,
            write_behind=WRITE_BEHIND,
        )
        self.passes = Passes(self.node)
        self.scheduler = Scheduler(self.node, self.passes)
        reader = Reader({world.registered.protocol.name: world.registered}, SCHEMAS)
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
        await VERBS[step.verb](self.service.verbs, step.body)


VERBS: Mapping[str, Callable[[Verbs, Mapping[str, Any]], Coroutine[Any, Any, None]]] = {
    "prepare": Verbs.prepare,
    "submit": Verbs.submit,
    "abort": Verbs.abort,
    "register": Verbs.register_branch,
    "force-stop": Verbs.force_stop,
}
SCHEMAS = Schemas()
HERE = Source("simulation", "", "simulation", lambda: None)


def _registered(protocol: Protocol, settings: Mapping[str, Any]) -> Registered:
    return registered(protocol, HERE, Settings(protocols={protocol.name: settings}), SCHEMAS)


def simulate(
    protocol: Protocol,
    steps: Sequence[Step],
    *,
    seed: int = 0,
    faults: Faults | None = None,
    settings: Mapping[str, Any] | None = None,
) -> History:
    """Run one transaction from the client's first request until everything has come to rest.

    The same arguments give the same history. All steps must speak of one gid, which the first one names.
    """
    if not steps or len({step.body.get("gid") for step in steps}) != 1:
        raise ValueError("expected at least one step, and one gid in all of them")
    for step in steps:
        if step.verb not in VERBS:
            raise ValueError(f"unknown verb {step.verb!r}: expected one of {', '.join(VERBS)}")
    world = _World(protocol, faults or Faults(), seed, settings or {})
    return run(world.main(steps, steps[0].body["gid"]), world.loop)
