"""From a URL to a store."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from store_values import FixedClock

from dtm.core.errors import StartupError
from dtm.core.store.factory import open_store
from dtm.core.store.memory import MemoryStore
from dtm.core.store.mysql import MysqlStore
from dtm.core.store.sqlite import SqliteStore


@pytest.mark.gen_test
async def test_urls(tmp_path):
    assert open_store("sqlite:///some/dtm.db").path == Path.cwd() / "some" / "dtm.db"
    assert open_store(f"sqlite:///{tmp_path}/dtm.db").path == tmp_path / "dtm.db"
    assert isinstance(open_store("memory://"), MemoryStore)
    assert isinstance(open_store("mysql://me@db/dtm"), MysqlStore)


@pytest.mark.parametrize("url", ["memory://", "sqlite:///dtm.db"])
def test_arguments_reach_the_store(url):
    clock, rng = FixedClock(), random.Random(1)
    store = open_store(url, clock=clock, clock_offset=2.5, rng=rng, db_timeout=1.5)
    assert (store.clock, store.rng, store.db_timeout) == (clock, rng, 1.5)
    assert store.now() == clock.wall() + 2500


@pytest.mark.parametrize(
    "url",
    [
        "", "dtm.db", "sqlite", "sqlite:", "sqlite://", "sqlite:///", "sqlite://host/dtm.db", "sqlite:///dtm.db?mode=ro",
        "memory", "memory://x", "://", "mysqlx://root:geheim@db/dtm", "root:geheim@mysql://db", "root:geheim@db",
    ],
)  # fmt: skip
def test_a_strange_url_is_refused_without_repeating_it(url):
    with pytest.raises(StartupError, match="expected sqlite:///FILE") as caught:
        open_store(url)
    assert "geheim" not in str(caught.value)


def test_the_sqlite_store_is_a_sqlite_store():
    assert isinstance(open_store("sqlite:///dtm.db"), SqliteStore)
