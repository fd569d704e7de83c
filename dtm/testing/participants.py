"""Participants of a simulation: each reply comes from a script, or from a seed; what took effect is on record."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qs, urlsplit

from dtm.core.model import Key
from dtm.core.transport.base import CallFailed, NotSent, Outgoing, Reply, Transport, Withdrawn
from dtm.testing.history import History
from dtm.testing.loop import VirtualLoop

REPLIES = {
    "success": Reply(200, b"{}"),
    "failure": Reply(409, b"insufficient balance"),
    "ongoing": Reply(425, b"ongoing"),
    "error": Reply(500, b"internal error"),
}
TROUBLES = ("ongoing", "error", "lost", "late", "refused")
"""lost: takes effect, the answer never arrives. late: takes effect, after the time-out. refused: no connection."""

DELAYS = (0.0, 0.0, 0.001, 0.01, 0.05, 0.3)


class Participants:
    """All participants of one simulation, as the transport of any node reaches them."""

    def __init__(self, loop: VirtualLoop, history: History, rng: random.Random) -> None:
        self._loop = loop
        self._history = history
        self._rng = rng
        self._script: Mapping[Key, Sequence[str]] = {}
        self._verdicts: Mapping[Key, str] = {}
        self._trouble = 0.0
        self._asked: Counter[Key] = Counter()
        self.patience = 3

    def behave(self, script: Mapping[Key, Sequence[str]], verdicts: Mapping[Key, str], trouble: float) -> None:
        """Set how they answer.

        script: key -> replies in turn, the last one for ever. Without a script a branch answers up to `patience` times
        with trouble, each with this probability, then `verdicts[key]`, or success.
        """
        self._script, self._verdicts, self._trouble = script, verdicts, trouble

    def at(self, node: str) -> Transport:
        """The way from one node to them."""
        return _Way(self, node)

    async def call(self, node: str, outgoing: Outgoing, gate: Callable[[], bool]) -> Reply:
        """One call, from connecting to the reply."""
        key = _key(outgoing)
        await asyncio.sleep(self._rng.choice(DELAYS))
        kind = self._next(key)
        if kind == "refused":
            self._asked[key] += 1
            raise NotSent("connection refused")
        if not gate():
            raise Withdrawn
        self._asked[key] += 1
        return await self._serve(node, key, kind, outgoing.timeout)

    def begin(self, node: str, outgoing: Outgoing, gate: Callable[[], bool]) -> asyncio.Future[Reply] | None:
        """One call at once, as on a kept connection; most of the time there is none."""
        key = _key(outgoing)
        kind = self._next(key)
        if kind == "refused" or self._rng.random() < 0.7:
            return None
        if not gate():
            raise Withdrawn
        self._asked[key] += 1
        return self._loop.create_task(self._serve(node, key, kind, outgoing.timeout))

    def _next(self, key: Key) -> str:
        nth = self._asked[key]
        script = self._script.get(key)
        if script:
            return script[min(nth, len(script) - 1)]
        if nth < self.patience and self._rng.random() < self._trouble:
            return self._rng.choice(TROUBLES)
        return self._verdicts.get(key, "success")

    async def _serve(self, node: str, key: Key, kind: str, timeout: float) -> Reply:
        self._note("request", node, key)
        work = asyncio.shield(self._loop.create_task(self._work(node, key, kind, timeout)))
        try:
            async with asyncio.timeout(timeout):
                await work
        except TimeoutError:
            self._note("lost", node, key)
            raise CallFailed(f"no reply within {timeout} s") from None
        if kind == "lost":
            self._note("lost", node, key)
            raise CallFailed("connection closed before the reply was complete")
        self._note("reply", node, key, kind)
        return REPLIES[kind]

    async def _work(self, node: str, key: Key, kind: str, timeout: float) -> None:
        """What the participant does with a request it has; it goes on when the caller is gone."""
        delay = self._rng.choice(DELAYS)
        await asyncio.sleep(timeout + delay if kind == "late" else delay)
        if kind in ("lost", "late"):
            verdict = self._verdicts.get(key, "success")
            if verdict == "success":
                self._note("effect", node, key)
        elif kind == "success":
            self._note("effect", node, key)

    def _note(self, kind: str, node: str, key: Key, text: str = "") -> None:
        self._history.add(self._loop.time(), kind, node, key=key, text=text)


def _key(outgoing: Outgoing) -> Key:
    query = parse_qs(urlsplit(outgoing.url).query)
    return query["branch_id"][0], query["op"][0]


class _Way(Transport):
    """One node's transport."""

    def __init__(self, participants: Participants, node: str) -> None:
        self._participants = participants
        self._node = node

    def host_of(self, url: str) -> str:
        """One host for all."""
        return urlsplit(url).netloc

    def problem_with(self, url: str) -> str | None:
        """Every url is somebody's."""
        return None

    def begin(self, outgoing: Outgoing, gate: Callable[[], bool]) -> asyncio.Future[Reply] | None:
        """Pass it on."""
        return self._participants.begin(self._node, outgoing, gate)

    async def call(self, outgoing: Outgoing, gate: Callable[[], bool]) -> Reply:
        """Pass it on."""
        return await self._participants.call(self._node, outgoing, gate)

    async def close(self) -> None:
        """Nothing to close."""
