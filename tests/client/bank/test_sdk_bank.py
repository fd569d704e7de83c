"""Services and clients made with the SDK, killed with their coordinators: no unit is lost, nothing done twice."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client.bank.run import SdkRun
from tests.support.bank_run import Plan
from tests.support.invariants_of_books import check
from tests.support.mariadb import MariaDB
from tests.support.postgresql import PostgreSQL

LONG = "BANK_LONG" in os.environ
"""2,000 transfers in five minutes (`make bank-sdk`), else 80 in 10 seconds."""


@pytest.mark.timeout(900 if LONG else 180)
def test_whatever_befalls_them(
    tmp_path: Path, mariadb: MariaDB, postgresql: PostgreSQL, tell: Callable[[str], None]
) -> None:
    seed = int(os.environ.get("TEST_SEED", random.randrange(2**32)))
    size = {"count": 2000, "seconds": 300, "quiet": 180} if LONG else {"count": 80, "seconds": 10}
    gaps = {"gap_of_nodes": 6, "gap_of_services": 4} if LONG else {"gap_of_nodes": 4, "gap_of_services": 3}
    plan = Plan(seed, **size, **gaps, lease=4, request_timeout=3)
    run = SdkRun(plan, mariadb, postgresql, tmp_path).run()
    for line in (f"TEST_SEED={seed}, {plan.seconds} s", *run.summary()):
        tell(f"bank of the SDK: {line}")
    print("\n".join(run.history.nemesis))
    assert check(run.history) == []
    assert min(run.blows["node kills"], run.blows["service kills"]) >= 3
    assert {row.status for row in run.history.rows.values()} == {"succeed", "failed"}
    assert {row.bank for row in run.history.barrier} == {"bank 0", "bank 1", "bank 2"}
