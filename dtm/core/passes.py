"""The passes that live on this node: at most one per transaction; who waits for them; how they end on shutdown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dtm.core.decisions import Call, Decision, Wait
from dtm.core.engine import Pass
from dtm.core.logs import PASS
from dtm.core.model import Transaction
from dtm.core.node import CONFIRMED_FOR, Node
from dtm.core.quarantine import Quarantine
from dtm.core.row import Row, parsed_custom, snapshot_of

log = logging.getLogger(__name__)

MOST = 10_000
"""Passes that one node runs at once; beyond that it takes in work, but leaves it to whoever has room."""


def _nobody(due: int) -> None:
    """No scheduler has been connected."""


@dataclass(slots=True)
class Start:
    """A row that this node owns now, and what its claim found. `lease_end` and `asked`: boot clock.

    forget_until: waits that end by then (ms) count no longer; None: none of them do. planned: what the plan has just
    said of this very row.
    """

    tx: Transaction
    lease_end: float
    asked: float
    recovered: bool = False
    forget_until: int | None = 0
    planned: Decision | None = None


@dataclass(slots=True, eq=False)
class Live:
    """A pass that runs, and what was handed over to it meanwhile."""

    pass_: Pass
    task: asyncio.Task[None] = field(init=False)
    handed: Start | None = None
    waiters: list[asyncio.Future[None]] = field(default_factory=list)


class Passes:
    """Starts passes, tells them news, lets others wait for them."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.quarantine = Quarantine(node)
        self._live: dict[str, Live] = {}
        self.started = 0
        """Passes begun so far."""
        self.recovered = 0
        """Of these, those of rows that were taken over in doubt."""
        self.on_parked: Callable[[int], None] = _nobody
        """Called with the due time (ms) of each row that is parked; the scheduler sets its timer by it."""

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Pass]:
        return iter([live.pass_ for live in self._live.values()])

    @property
    def full(self) -> bool:
        """Whether this node should take no more work."""
        return len(self._live) >= MOST or self.node.draining

    def planned(self, tx: Transaction, now: int) -> Wait | Call | None:
        """What the plan says of a row in this state, if it is to wait, or to call whatever the time is; else None.

        Asked before a row is written, so that a transaction that only waits costs one commit and no pass, and one that
        calls is not planned a second time.
        """
        if tx.status.final:
            return None
        rules = self.node.rules[tx.trans_type]
        try:
            decision = rules.protocol.plan(
                snapshot_of(tx, rules, now, parsed_custom(tx.custom_data), branches=tx.branches, questions=tx.questions)
            )
        except Exception:
            return None  # the pass will find the same, and tell its story
        match decision:
            case Wait(until=None) | Call(until=None):
                return decision
            case Wait(until=int(until)) if until > now:
                return decision
        return None

    def start(self, start: Start) -> None:
        """Run a row that this node owns. A live pass of the same transaction takes it over instead."""
        live = self._live.get(start.tx.gid)
        if live is not None:
            if live.pass_.custody.handed_over(start.tx, start.lease_end):
                live.handed = start
            return
        row = Row(start.tx, self.node.rules[start.tx.trans_type], recovered=start.recovered)
        if start.forget_until != 0:
            row.forget_waits(start.forget_until)
        loop = asyncio.get_running_loop()
        live = Live(Pass(self.node, row, loop, lease_end=start.lease_end, confirmed=start.asked))
        self._live[start.tx.gid] = live
        self.started += 1
        self.recovered += start.recovered
        live.task = loop.create_task(self._run(live, self.started, start.planned))

    async def _run(self, live: Live, number: int, planned: Decision | None) -> None:
        row = live.pass_.row
        PASS.set((row.tx.gid, number))
        try:
            await live.pass_.run(planned)
            self.quarantine.ran(row.tx.id)
        except Exception as error:
            log.exception("a pass broke off; its lease will run out: gid=%s", row.tx.gid)
            await self.quarantine.broke_off(row, live.pass_.custody.token, repr(error))
        finally:
            tx = row.tx
            del self._live[tx.gid]
            for waiter in live.waiters:
                if not waiter.done():
                    waiter.set_result(None)
            if live.handed is not None and _is_later(live.handed.tx, tx):
                self.start(live.handed)
        if tx.owner == "" and tx.due_at is not None:
            self.on_parked(tx.due_at)

    def notify(self, gid: str) -> None:
        """Somebody changed the row of this transaction."""
        live = self._live.get(gid)
        if live is not None:
            live.pass_.notify()

    async def wait(self, gid: str) -> Transaction | None:
        """Wait until no pass of this transaction runs here; its last state, or None when none ran."""
        tx = None
        while (live := self._live.get(gid)) is not None:
            ended = live.task.get_loop().create_future()
            live.waiters.append(ended)
            await ended
            tx = live.pass_.row.tx
        return tx

    async def idle(self) -> None:
        """Wait until no pass runs."""
        while self._live:
            await asyncio.wait([live.task for live in self._live.values()])

    # Housekeeping, once a second

    async def renew(self) -> None:
        """Lengthen the leases that have run for a third, in one statement of its own lane (law 5.12)."""
        node, boot = self.node, self.node.clock.boot()
        ageing = [p for p in self if p.custody.lease_end - boot < node.lease * 2 / 3]
        if not ageing:
            return
        tokens = {p.row.tx.id: p.custody.token for p in ageing}
        held = await node.store.renew(tokens, node.lease)
        for pass_ in ageing:
            row_id = pass_.row.tx.id
            pass_.custody.renewed(tokens[row_id], boot + node.lease if row_id in held else None)

    async def look(self) -> None:
        """Read the versions of the rows that passes have held for a while: did a verb on another node change them?"""
        boot = self.node.clock.boot()
        old = [p for p in self if boot - p.began > CONFIRMED_FOR]
        if not old:
            return
        seen = await self.node.store.owned_versions({p.row.tx.id: p.custody.token for p in old})
        for pass_ in old:
            pass_.custody.seen(seen.get(pass_.row.tx.id), boot)

    # Shutdown

    async def drain(self, grace: float) -> None:
        """Begin no call, let those in the air land within `grace` seconds, park; then cut off what is left."""
        self.node.draining = True
        for gid in list(self._live):
            self.notify(gid)
        tasks = [live.task for live in self._live.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        left = list(self._live.values())
        await asyncio.gather(*(live.pass_.release(live.task) for live in left), return_exceptions=True)


def _is_later(handed: Transaction, known: Transaction) -> bool:
    """Whether a claim has brought what its pass did not take over: a later version, or another row of the same gid."""
    return handed.id != known.id or handed.version > known.version
