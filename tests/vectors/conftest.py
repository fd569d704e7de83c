"""Coordinators with settings of their own; participants that wait, for the test or for one another."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.inside import Inside
from tests.support.mariadb import MariaDB
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
        self._served.run(self._released.set)


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


class Databases:
    """Databases on one server. They are emptied and lent again: to make one takes longer than most vectors."""

    def __init__(self, server: MariaDB) -> None:
        self._server = server
        self._made = 0
        self._empty: list[str] = []

    @contextlib.contextmanager
    def lending(self) -> Iterator[Callable[[], str]]:
        """Gives a function that gives URLs: of a database without a row each, or of none yet, which will be made."""
        lent: list[str] = []

        def lend() -> str:
            if not self._empty:
                self._made += 1
                self._empty.append(f"dtm_vectors_{self._made}")
            lent.append(self._empty.pop())
            return self._server.url(lent[-1])

        yield lend
        for name in lent:
            for table in ("dtm_transaction", "dtm_kv"):
                self._server.run(f"DELETE FROM {table}", database=name)
        self._empty += lent


@pytest.fixture(scope="session")
def databases(mariadb: MariaDB) -> Databases:
    """Where coordinators on MariaDB keep their transactions."""
    return Databases(mariadb)


@pytest.fixture(params=["sqlite", "mariadb"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """`new_store()`: the URL of an empty store of this kind."""
    if request.param == "sqlite":
        numbers = itertools.count()
        yield lambda: f"sqlite:///{tmp_path}/{next(numbers)}.db"
    else:
        with request.getfixturevalue("databases").lending() as lend:
            yield lend


@pytest.fixture
def inside_with(io_loop, tmp_path: Path, new_store: Callable[[], str]) -> Iterator[Callable[..., Any]]:
    """`await inside_with(**settings)`: a coordinator in the test's loop with other settings than the defaults."""
    running: list[Inside] = []

    async def make(**settings: Any) -> Inside:
        running.append(Inside(tmp_path, store=new_store(), **settings))
        await running[-1].start()
        return running[-1]

    yield make
    for coordinator in running:
        io_loop.run_sync(coordinator.stop)


@pytest.fixture
def inside(io_loop, inside_with: Callable[..., Any]) -> Inside:
    """A coordinator in the test's loop, on SQLite and on MariaDB, that runs only when told."""
    return io_loop.run_sync(inside_with)
