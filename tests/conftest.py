"""Fixtures that all tests share."""

from __future__ import annotations

import asyncio
import inspect
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.coordinator import FAST, Coordinator
from tests.support.inside import Inside
from tests.support.mariadb import MariaDB
from tests.support.participants import Participants
from tests.support.postgresql import PostgreSQL

# No test fails because a machine is slow.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every coroutine test is run by pytest-tornado."""
    for item in items:
        if inspect.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.gen_test(timeout=60))


TOLD = "told"


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """tell(line): a figure that whoever runs the tests is to see, in the summary."""
    return lambda line: request.node.user_properties.append((TOLD, line))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests have told, whichever process has run them."""
    for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
        for name, line in report.user_properties:
            if name == TOLD and report.when == "call":
                terminalreporter.write_line(line)


@pytest.fixture(scope="session", autouse=True)
def _no_loop_of_its_own() -> None:
    """Else the first `io_loop` makes a loop that nobody closes."""
    asyncio.set_event_loop(None)


@pytest.fixture
def participants() -> Iterator[Participants]:
    """Real participants on loopback."""
    server = Participants()
    yield server
    server.close()


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    """A MariaDB server, one for all tests; `database_of(folder)` names a database of a test's own."""
    server = MariaDB(tmp_path_factory.mktemp("mariadb")).start()
    yield server
    server.stop()
    shutil.rmtree(server.folder)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server, one for all tests."""
    server = PostgreSQL().start()
    yield server
    server.stop()


@pytest.fixture
def inside(io_loop, tmp_path: Path) -> Iterator[Inside]:
    """A coordinator in the test's loop, on SQLite, that runs only when told."""
    coordinator = Inside(tmp_path)
    io_loop.run_sync(coordinator.start)
    yield coordinator
    io_loop.run_sync(coordinator.stop)


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Coordinator]:
    """A coordinator as a process of its own, on SQLite, with intervals scaled down."""
    with Coordinator(tmp_path, **FAST) as process:
        yield process
