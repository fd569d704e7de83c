"""simulate(): the real engine, scheduler, service and group commit, in virtual time, among faulty participants."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from dtm.core.config import Settings
from dtm.core.discovery import Source
from dtm.core.errors import Conflict, DtmError, InvalidRequest, NotFound, ProtocolFault
from dtm.core.model import Key, Verb, nothing
from dtm.core.protocol import Protocol
from dtm.core.registry import registered
from dtm.testing.history import History
from dtm.testing.loop import VirtualClock, VirtualLoop, elsewhere, run
from dtm.testing.nodes import LEASE, POLL, SCHEMAS, Around, Recorded, SimNode
from dtm.testing.replies import Replies
from dtm.testing.scenario import STRIKES, Faults, Step
from dtm.testing.watched import watched

HORIZON = 120.0
"""Virtual seconds after which a run that has not come to rest is given up."""

STALL = LEASE * 4 / 3
JUMP = 10.0
GID = "g"
HERE = Source("simulation", "", "simulation", lambda: None)
STORMY = Faults(trouble=0.2, strike=0.05, refusal=0.1, nodes=2)
"""What goes wrong when nothing is said but a seed."""


class World(Around):
    """Everything there is in one simulation."""

    def __init__(self, protocol: Protocol, history: History) -> None:
        self.rng = random.Random(history.seed)
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop)
        self.history = history
        self.database = Recorded(self.loop, history)
        self.faults = history.faults
        settings = Settings(protocols={protocol.name: history.settings})
        self.registered = registered(watched(protocol, history), HERE, settings, SCHEMAS)
        self.replies = Replies(self.loop, history, protocol, self.rng, self.hazard)
        self.nodes: dict[str, SimNode] = {}
        self.struck = dict(self.faults.strikes)
        self._weather = random.Random(f"strikes {history.seed}")
        self._kinds = (*STRIKES, "crash", *(sorted({str(verb) for verb, _ in protocol.verbs} - {Verb.REGISTER})))
        self._cut_off: dict[str, float] = {}
        self._asides: list[asyncio.Task[None]] = []

    # What goes wrong

    async def hazard(self, node: str) -> None:
        """A point at which something may strike this node; if it dies, this never returns."""
        if self.faults.lag:
            await asyncio.sleep(self.rng.choice((0.0, 0.0, 0.002)))
        point = self.history.points
        self.history.points += 1
        if self.faults.strike and len(self.struck) < self.faults.most and self._weather.random() < self.faults.strike:
            self.struck[point] = self._weather.choice(self._kinds)
        kind = self.struck.get(point)
        if kind is not None and node in self.nodes:
            self._strike(kind, node)
            if kind == "crash":
                await asyncio.get_running_loop().create_future()

    def _strike(self, kind: str, node: str) -> None:
        match kind:
            case "crash":
                self.history.add(self.loop.time(), "crash", node)
                del self.nodes[node]
                self.loop.call_later(self.faults.back, self.boot, node)
                self.loop.kill(node)
            case "stop":
                self.history.add(self.loop.time(), "stop", node)
                with elsewhere(""):
                    self._asides.append(self.loop.create_task(self._stop(node, self.nodes.pop(node))))
            case "stall":
                self.history.add(self.loop.time(), "stall", node)
                self._cut_off[node] = self.loop.time() + STALL
            case "ahead" | "behind":
                self.history.add(self.loop.time(), "jump", text=kind)
                self.clock.jump(JUMP if kind == "ahead" else -JUMP)
            case _:
                step = self._step(kind)
                with elsewhere(""):
                    self._asides.append(self.loop.create_task(self._client([step])))

    def _step(self, kind: str) -> Step:
        """A racing request: a verb with the first body, or one of the client's steps a second time."""
        steps = self.history.steps
        if kind.startswith("step "):
            return replace(steps[int(kind[5:])], after=0.0, stubborn=False)
        return Step(kind, steps[0].body, stubborn=False)

    async def _stop(self, name: str, node: SimNode) -> None:
        await node.stop()
        self.loop.kill(name)
        await asyncio.sleep(self.faults.back)
        self.boot(name)

    async def reached(self, node: str) -> None:
        """Wait while this node cannot reach the database."""
        wait = self._cut_off.get(node, 0.0) - self.loop.time()
        if wait > 0:
            await asyncio.sleep(wait)

    def boot(self, name: str) -> None:
        """Start a node, as a process of its own."""
        with elsewhere(name):
            self.history.add(self.loop.time(), "start", name)
            way = self.replies.at(name)
            self.nodes[name] = node = SimNode(self, name, self.registered, way, self.rng.random())
            node.start()

    # What is asked for

    async def main(self, gid: str) -> History:
        """Run to the end."""
        history = self.history
        for index in range(self.faults.nodes):
            self.boot(f"n{index}")
        self._asides += [self.loop.create_task(self._client([step])) for step in history.steps if step.aside]
        await self._client([step for step in history.steps if not step.aside])
        for _ in range(round(HORIZON / POLL)):
            if self._at_rest(gid) or self._troubled(gid):
                break
            await asyncio.sleep(POLL)
        history.quiet = self._at_rest(gid)
        row_id = self.database.ids.get(gid)
        history.final = None if row_id is None else self.database.rows[row_id]
        history.faults = replace(
            self.faults, strikes=self.struck, replies=self.replies.said, verdicts=self.replies.refusals,
            strike=0.0, trouble=0.0, refusal=0.0,
        )  # fmt: skip
        return history

    def _at_rest(self, gid: str) -> bool:
        row_id = self.database.ids.get(gid)
        if any(len(node.passes) for node in self.nodes.values()) or not all(task.done() for task in self._asides):
            return False
        if row_id is None:
            return True
        row = self.database.rows[row_id]
        return (row.status.final and not row.owner) or row.due_at is None

    def _troubled(self, gid: str) -> bool:
        """Whether the engine has refused a plan: it would go on doing so for ever."""
        row_id = self.database.ids.get(gid)
        return row_id is not None and bool(self.database.rows[row_id].trouble)

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
        with elsewhere(name):
            task = self.loop.create_task(self.nodes[name].serve(step))
        await asyncio.wait([task])
        if task.cancelled():
            return "unknown", "the node crashed"
        error = task.exception()
        if error is None:
            return "ok", ""
        if isinstance(
            error, Conflict | InvalidRequest | NotFound | ProtocolFault
        ):  # the last will not mend itself here
            return "refused", str(error)
        if isinstance(error, DtmError):
            return "unknown", str(error)
        raise error

    def _note(self, kind: str, step: Step, why: str = "") -> None:
        branch_id = step.body.get("branch_id")
        key = (branch_id, step.verb) if branch_id else None
        self.history.add(self.loop.time(), kind, text=step.verb, key=key, why=why)


def simulate(
    protocol: Protocol,
    request: Mapping[str, Any] | Sequence[Step],
    *,
    seed: int | None = None,
    script: Mapping[Key, Sequence[str]] | None = None,
    faults: Faults | None = None,
    settings: Mapping[str, Any] | None = None,
) -> History:
    """Run one transaction from the client's first request until everything has come to rest.

    request: the body of a submit, or all that the client does. `gid` and `trans_type` may be left out.
    script: branch -> its replies in turn, and nothing else goes wrong. seed: chance sees to it that much goes wrong.
    faults: what goes wrong in detail; the seed then decides about the rest, such as how long each call takes.
    settings: what the operator has written under `protocols.<name>`.

    The same arguments give the same history, byte for byte. ValueError when they make no sense; StartupError when the
    protocol's schemas or the settings are not whole.
    """
    steps = (Step("submit", request),) if isinstance(request, Mapping) else tuple(request)
    steps = tuple(replace(step, body={"gid": GID, "trans_type": protocol.name, **step.body}) for step in steps)
    if not steps or len({step.body["gid"] for step in steps}) != 1:
        raise ValueError("expected at least one step, and one gid in all of them")
    if faults is None:
        faults = STORMY if seed is not None and script is None else Faults()
    if script is not None:
        faults = replace(faults, script=script)
    history = History(protocol.name, protocol.version, steps, seed or 0, faults, settings or nothing())
    with _silence():
        world = World(protocol, history)
        return run(world.main(steps[0].body["gid"]), world.loop)


@contextmanager
def _silence() -> Iterator[None]:
    """What goes wrong in a simulation stands in its history; nobody wants it in the log of the tests."""
    log = logging.getLogger("dtm")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(level)
