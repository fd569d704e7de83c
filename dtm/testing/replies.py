"""The participants of a simulation: each reply comes from a script, or by chance; what took effect is on record."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import parse_qs, urlsplit

from dtm.core.model import Key
from dtm.core.protocol import Protocol
from dtm.core.transport.base import CallFailed, NotSent, Outgoing, Over, Reply, Transport, Withdrawn
from dtm.testing.history import History
from dtm.testing.loop import VirtualLoop, elsewhere

ANSWERS = {
    "success": Reply(200, b"{}"),
    "failure": Reply(409, b"insufficient balance"),
    "ongoing": Reply(425, b"ongoing"),
    "error": Reply(500, b"internal error"),
}
TROUBLES = ("ongoing", "error", "lost", "late", "refused")
PATIENCE = 3
"""How often one branch meets trouble by chance; after that its participant is well."""

DELAYS = (0.0, 0.0, 0.001, 0.01, 0.05, 0.3)

Hazard = Callable[[str], Awaitable[None]]
"""hazard(node): a point at which something may strike that node; if it dies, this never returns."""


class Replies:
    """All participants of one simulation, as the transport of any node reaches them.

    What chance brings is noted in `said` (the n-th call -> its reply) and `verdicts`, so that it can be played again.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        history: History,
        protocol: Protocol,
        rng: random.Random,
        hazard: Hazard,
    ) -> None:
        self._loop = loop
        self._history = history
        self._protocol = protocol
        self._rng = rng
        self._faults = history.faults
        self._hazard = hazard
        self._weather = random.Random(f"replies {history.seed}")
        self._asked: Counter[Key] = Counter()
        self.said = dict(history.faults.replies)
        self.verdicts = dict(history.faults.verdicts)

    @property
    def refusals(self) -> dict[Key, str]:
        """Which branches said no in the end."""
        return {key: verdict for key, verdict in self.verdicts.items() if verdict != "success"}

    def at(self, node: str) -> Transport:
        """The way from one node to them."""
        return _Way(self, node)

    async def call(self, node: str, outgoing: Outgoing, gate: Callable[[], bool]) -> Reply:
        """One call, from connecting to the reply."""
        key = _key(outgoing)
        await asyncio.sleep(self._delay())
        kind = self._kind(key)
        if kind == "refused":
            self._count(key)
            self._note("refused", node, key)
            raise NotSent("connection refused")
        if not gate():
            raise Withdrawn
        self._count(key)
        return await self._serve(node, key, kind, outgoing.timeout)

    def begin(self, node: str, outgoing: Outgoing, gate: Callable[[], bool], over: Over) -> Callable[[], object] | None:
        """One call at once, as on a kept connection; most of the time there is none."""
        key = _key(outgoing)
        if self._faults.lag and self._rng.random() < 0.7:
            return None
        kind = self._kind(key)
        if kind == "refused":
            return None
        if not gate():
            raise Withdrawn
        self._count(key)
        call = self._loop.create_task(self._serve(node, key, kind, outgoing.timeout))
        call.add_done_callback(partial(_ended, over))
        return call.cancel

    def _delay(self) -> float:
        return self._rng.choice(DELAYS) if self._faults.lag else 0.0

    def _count(self, key: Key) -> None:
        self._asked[key] += 1
        self._history.calls += 1

    def _kind(self, key: Key) -> str:
        """What this call is to hear."""
        nth, call = self._asked[key], self._history.calls
        script = self._faults.script.get(key)
        if script:
            return script[min(nth, len(script) - 1)]
        if (
            self._faults.trouble
            and nth < PATIENCE
            and call not in self.said
            and self._weather.random() < self._faults.trouble
        ):
            self.said[call] = self._weather.choice(TROUBLES)
        return self.said.get(call) or self._verdict(key)

    def _verdict(self, key: Key) -> str:
        """What this branch says in the end: success, unless it may fail, or is a question."""
        if key not in self.verdicts:
            op = self._protocol.ops.get(key[1])
            no = (op is None or op.may_fail) and self._weather.random() < self._faults.refusal
            self.verdicts[key] = "failure" if no else "success"
        return self.verdicts[key]

    async def _serve(self, node: str, key: Key, kind: str, timeout: float) -> Reply:
        self._note("request", node, key)
        await self._hazard(node)
        with elsewhere("participants"):
            work = asyncio.shield(self._loop.create_task(self._work(node, key, kind, timeout)))
        try:
            async with asyncio.timeout(timeout):
                await work
        except TimeoutError:
            self._note("lost", node, key)
            raise CallFailed(f"no reply within {timeout} s") from None
        await self._hazard(node)
        if kind == "lost":
            self._note("lost", node, key)
            raise CallFailed("connection closed before the reply was complete")
        self._note("reply", node, key, kind)
        return ANSWERS[kind]

    async def _work(self, node: str, key: Key, kind: str, timeout: float) -> None:
        """What the participant does with a request it has; it goes on when the caller is gone."""
        delay = self._delay()
        await asyncio.sleep(timeout + delay + 0.01 if kind == "late" else delay)
        if kind == "success" or (kind in ("lost", "late") and self._verdict(key) == "success"):
            self._note("effect", node, key)

    def _note(self, kind: str, node: str, key: Key, text: str = "") -> None:
        self._history.add(self._loop.time(), kind, node, key=key, text=text)


def _key(outgoing: Outgoing) -> Key:
    query = parse_qs(outgoing.query)
    return query["branch_id"][0], query["op"][0]


def _ended(over: Over, call: asyncio.Task[Reply]) -> None:
    if not call.cancelled():
        error = call.exception()
        over(call.result() if error is None else error)


class _Way(Transport):
    """One node's transport."""

    def __init__(self, replies: Replies, node: str) -> None:
        self._replies = replies
        self._node = node

    def host_of(self, url: str) -> str:
        """One host for all."""
        return urlsplit(url).netloc

    def problem_with(self, url: str) -> str | None:
        """Every url is somebody's."""
        return None

    def begin(self, outgoing: Outgoing, gate: Callable[[], bool], over: Over) -> Callable[[], object] | None:
        """Pass it on."""
        return self._replies.begin(self._node, outgoing, gate, over)

    async def call(self, outgoing: Outgoing, gate: Callable[[], bool]) -> Reply:
        """Pass it on."""
        return await self._replies.call(self._node, outgoing, gate)

    async def close(self) -> None:
        """Nothing to close."""
