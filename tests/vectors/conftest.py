"""Coordinators with settings of their own, and participants that wait for one another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.inside import Inside
from tests.support.participants import Participants, Reply, Seen


class Meeting(Participants):
    """Of the paths in `together` nobody is answered before all of them have been called."""

    def __init__(self, *together: str) -> None:
        self.together = together
        self._met = asyncio.Barrier(len(together))
        super().__init__()

    async def serve(self, seen: Seen) -> Reply:
        reply = await super().serve(seen)
        if seen.path in self.together:
            await self._met.wait()
        return reply


@pytest.fixture
def meeting() -> Iterator[Callable[..., Meeting]]:
    """`meeting(*paths)`: participants whose paths are in flight together, or not answered at all."""
    servers: list[Meeting] = []

    def make(*together: str) -> Meeting:
        servers.append(Meeting(*together))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def inside_with(io_loop, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """`await inside_with(**settings)`: a coordinator in the test's loop with other settings than the defaults."""
    running: list[Inside] = []

    async def make(**settings: Any) -> Inside:
        folder = tmp_path / str(len(running))
        folder.mkdir()
        running.append(Inside(folder, **settings))
        await running[-1].start()
        return running[-1]

    yield make
    for coordinator in running:
        io_loop.run_sync(coordinator.stop)
