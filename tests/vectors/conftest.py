"""Coordinators with settings of their own; participants that wait, for the test or for one another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.inside import Inside
from tests.support.participants import Participants, Reply, Seen


class Holding(Participants):
    """Nobody is answered before `release()`."""

    def __init__(self) -> None:
        self._released = asyncio.Event()
        super().__init__()

    async def serve(self, seen: Seen) -> Reply:
        reply = await super().serve(seen)
        await self._released.wait()
        return reply

    async def called(self) -> None:
        """Wait until a first call is in flight."""
        while not self.calls:
            await asyncio.sleep(0.01)

    def release(self) -> None:
        """Answer all who wait, and everybody from now on."""
        self._loop.call_soon_threadsafe(self._released.set)


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
def holding() -> Iterator[Holding]:
    """Participants that let everybody wait until they are told otherwise."""
    server = Holding()
    yield server
    server.close()


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
