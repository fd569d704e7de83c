"""The fixtures of these tests: a coordinator on each store that people run, and a bank on MariaDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.bank import Bank, make_barrier
from tests.support.coordinator import FAST, Coordinator
from tests.support.mariadb import MariaDB, database_of


@pytest.fixture(scope="session", params=["sqlite", "mysql"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    """A coordinator as a process of its own, one for all tests of these clients."""
    folder = tmp_path_factory.mktemp(f"coordinator-{request.param}")
    store = {}
    if request.param == "mysql":
        mariadb: MariaDB = request.getfixturevalue("mariadb")
        store = {"DTM_STORE": mariadb.url(database_of(folder))}
    with Coordinator(folder, **FAST, **store) as process:
        yield process


@pytest.fixture
def bank(server: Coordinator, mariadb: MariaDB, tmp_path: Path) -> Iterator[Bank]:
    """A bank with the accounts a and b, 100 in each."""
    make_barrier(mariadb)
    bank = Bank(mariadb, database_of(tmp_path), f"{server.url}/api/dtmsvr")
    yield bank
    bank.close()
