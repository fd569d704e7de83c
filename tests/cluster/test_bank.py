"""A bank on three nodes and one MariaDB, all of which are killed and paused: no unit is lost, no promise broken."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bank_doctored import DOCTORED, copy

from tests.support.bank_run import BankRun, Plan, Run
from tests.support.invariants import calls_once
from tests.support.invariants_of_books import CHECKERS, check
from tests.support.mariadb import MariaDB

LONG = "BANK_LONG" in os.environ
"""3,000 transfers in five minutes (`make bank`), else 250 in 20 seconds."""


@pytest.fixture
def seed() -> int:
    """TEST_SEED repeats a run: what is asked, and what befalls whom when."""
    return int(os.environ.get("TEST_SEED", random.randrange(2**32)))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MariaDB]:
    """A MariaDB that may be killed."""
    folder = tmp_path / "mariadb"
    folder.mkdir()
    server = MariaDB(folder).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def peaceful(tmp_path_factory: pytest.TempPathFactory, mariadb: MariaDB) -> Run:
    """A run in which nothing befalls anybody."""
    plan = Plan(seed=7, count=120, seconds=4, lease=15, request_timeout=10, timeout_to_fail=10)
    return BankRun(plan, mariadb, tmp_path_factory.mktemp("peace")).run()


@pytest.mark.timeout(900 if LONG else 180)
def test_whatever_befalls_them(tmp_path: Path, server: MariaDB, seed: int, tell: Callable[[str], None]) -> None:
    if LONG:
        plan = Plan(seed, 3000, 300, gap_of_nodes=5, gap_of_the_database=12, quiet=180)
    else:
        plan = Plan(seed, 250, 20, gap_of_nodes=3, gap_of_the_database=7, lease=3)
    run = BankRun(plan, server, tmp_path).run()
    for line in (f"TEST_SEED={seed}, {plan.seconds} s", *run.summary()):
        tell(f"bank: {line}")
    print("\n".join(run.history.nemesis))
    assert check(run.history) == []
    assert run.blows["node kills"] + run.blows["database kills"] > 3
    assert any(change.taken_over for change in run.history.changes)


def test_in_peace_each_branch_is_called_once(peaceful: Run, tell: Callable[[str], None]) -> None:
    tell(f"bank in peace: {peaceful.summary()[-1]}")
    assert check(peaceful.history) == []
    assert list(calls_once(peaceful.history)) == []


@pytest.mark.parametrize("name", CHECKERS)
def test_the_checkers_see(peaceful: Run, name: str) -> None:
    """Each one finds what was put into a history in which it finds nothing."""
    history = copy(peaceful.history)
    DOCTORED[name](history)
    assert list(CHECKERS[name](copy(history))) != []
