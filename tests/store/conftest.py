"""The engines that the contract suite runs against. A new engine is one more entry of ENGINES."""

from __future__ import annotations

from functools import partial

import pytest

from dtm.core.store.memory import MemoryStore
from dtm.core.store.mysql import MysqlStore
from dtm.core.store.sqlite import SqliteStore
from tests.support.mariadb import database_of
from tests.support.tcp_proxy import TcpProxy


def memory(folder, **kwargs):
    return MemoryStore(**kwargs)


def sqlite(folder, **kwargs):
    return SqliteStore(folder / "dtm.db", **kwargs)


def mysql(folder, server, **kwargs):
    return MysqlStore(server.url(database_of(folder)), **kwargs)


ENGINES = [memory, sqlite, mysql]


@pytest.fixture(params=ENGINES, ids=lambda engine: engine.__name__)
def engine(request):
    """engine(folder, **kwargs) -> a store that is not open yet."""
    if request.param is mysql:
        return partial(mysql, server=request.getfixturevalue("mariadb"))
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


@pytest.fixture
def mysql_store(tmp_path, mariadb, io_loop):
    """An open MysqlStore."""
    store = mysql(tmp_path, mariadb)
    io_loop.run_sync(store.open)
    yield store
    io_loop.run_sync(store.close)


@pytest.fixture
def another(tmp_path, mariadb, io_loop):
    """another(**kwargs): one more open MysqlStore on the database of `mysql_store`; port: by way of a proxy."""
    made = []

    async def make(port=None, **kwargs):
        url = mariadb.url(database_of(tmp_path))
        made.append(MysqlStore(url.replace(str(mariadb.port), str(port or mariadb.port)), **kwargs))
        await made[-1].open()
        return made[-1]

    async def close():
        for store in made:
            await store.close()

    yield make
    io_loop.run_sync(close)


@pytest.fixture
def proxy(mariadb, io_loop):
    """A proxy in front of the server."""
    proxy = TcpProxy(mariadb.port)
    io_loop.run_sync(proxy.start)
    yield proxy
    io_loop.run_sync(proxy.stop)
