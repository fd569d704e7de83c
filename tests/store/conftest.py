"""The engines that the contract suite runs against. A new engine is one more entry of ENGINES."""

from __future__ import annotations

import pytest

from dtm.core.store.memory import MemoryStore
from dtm.core.store.sqlite import SqliteStore


def memory(folder, **kwargs):
    return MemoryStore(**kwargs)


def sqlite(folder, **kwargs):
    return SqliteStore(folder / "dtm.db", **kwargs)


ENGINES = [memory, sqlite]


@pytest.fixture(params=ENGINES, ids=lambda engine: engine.__name__)
def engine(request):
    """engine(folder, **kwargs) -> a store that is not open yet."""
    return request.param


@pytest.fixture
def store(engine, tmp_path, io_loop):
    """An open store."""
    store = engine(tmp_path)
    io_loop.run_sync(store.open)
    yield store
    io_loop.run_sync(store.close)


@pytest.fixture
def sqlite_store(tmp_path, io_loop):
    """An open SqliteStore."""
    store = sqlite(tmp_path)
    io_loop.run_sync(store.open)
    yield store
    io_loop.run_sync(store.close)
