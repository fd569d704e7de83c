"""A node whose event loop lags, on a store that others share: it must call, not only make sure that it may."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from dtm import Decision, Snapshot, Status
from dtm.core.node import CONFIRMED_FOR
from dtm.plugins.saga import PROTOCOL as SAGA
from dtm.testing import Faults, History, Step
from dtm.testing.loop import VirtualLoop, run
from dtm.testing.simulator import World

PASSES = 100
SECONDS_OF_ONE_PLAN = 0.02
STEP = {"action": "http://a/do", "compensate": "http://a/undo"}


def laborious(plan: Callable[[Snapshot], Decision]) -> Callable[[Snapshot], Decision]:
    """The same plan, but the loop stands still while it is made."""

    def slow(snapshot: Snapshot) -> Decision:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.block(SECONDS_OF_ONE_PLAN)
        return plan(snapshot)

    return slow


def elsewhere(read: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The same reading of the store, as of a database to which it is some way."""

    async def slow(*arguments: Any) -> Any:
        await asyncio.sleep(0.005)
        answer = await read(*arguments)
        await asyncio.sleep(0.005)
        return answer

    return slow


def test_many_passes_on_a_lagging_node_all_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning all of them once takes longer than a look at a row counts: if each planned anew after its look, none
    would ever come to its call."""
    assert PASSES * SECONDS_OF_ONE_PLAN > 1.5 * CONFIRMED_FOR
    slow = replace(SAGA, plan=laborious(SAGA.plan))
    world = World(slow, History("saga", "1", steps=(), seed=1, faults=Faults()))

    async def main() -> set[Status]:
        world.boot("n")
        node = world.nodes["n"]
        monkeypatch.setattr(node.store, "load", elsewhere(node.store.load))
        monkeypatch.setattr(node.store, "owned_versions", elsewhere(node.store.owned_versions))
        body = {"trans_type": "saga", "steps": [STEP, STEP], "payloads": ["1", "2"], "request_timeout": 20}
        await asyncio.gather(*(node.serve(Step("submit", {**body, "gid": f"g{n}"})) for n in range(PASSES)))
        async with asyncio.timeout(120):
            await node.passes.idle()
        return {row.status for row in world.database.rows.values()}

    assert run(main(), world.loop) == {Status.SUCCEED}
    assert len(list(world.history.of("request"))) == 2 * PASSES
