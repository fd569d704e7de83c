"""A server short of disk, of connections, of time: who is refused hears so, and nothing that was said is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess

import pymysql
import pytest
from mysql_faults import saving, some_rows, transaction, until, waiting
from store_values import owned

from dtm.core.errors import OutcomeUnknown, StoreUnavailable
from dtm.core.store.base import Filter
from dtm.core.store.mysql import MysqlStore
from tests.support.mariadb import MariaDB

DISK, SPARE = 256 << 20, 2 << 20
"""Bytes of a small disk, and of them that are left when it is filled up."""


class SmallDisk:
    """A server on a tmpfs of its own; where this process may not mount one, with tables that may not grow."""

    def __init__(self, folder):
        self.folder = folder
        self.mounted = not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(folder)], check=False, capture_output=True
        ).returncode
        self.filler = folder / "filler"
        self.server = MariaDB(folder, *([] if self.mounted else self._tables_of("16M")))

    def fill(self):
        """Leave almost no room."""
        if self.mounted:
            room = os.statvfs(self.folder)
            with self.filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - SPARE)

    def make_room(self):
        """Have the server, once it is started again, find as much room as it likes."""
        if self.mounted:
            self.filler.unlink()
        else:
            self.server.options = self._tables_of("1G")

    def close(self):
        self.server.stop()
        if self.mounted:
            subprocess.run(["umount", str(self.folder)], check=True)

    def _tables_of(self, size):
        return "--innodb-file-per-table=0", f"--innodb-data-file-path=ibdata1:12M:autoextend:max:{size}"


@pytest.fixture
def small_disk(tmp_path):
    disk = SmallDisk(tmp_path)
    disk.server.start()
    yield disk
    disk.close()


@pytest.mark.gen_test(timeout=90)
async def test_a_full_disk(small_disk):
    """The server refuses, or ends itself, as MariaDB 10.11 does when there is no room to roll back."""
    store = MysqlStore(small_disk.server.url("dtm_x"))
    await store.open()
    small_disk.fill()
    stored, unknown = [], set()
    try:
        while len(stored) < 1000:
            tx = owned(store, f"big{len(stored)}", custom_data="x" * 50_000)
            stored.append(await store.insert(tx))
    except StoreUnavailable:
        assert await store.load(tx.gid) is None
    except OutcomeUnknown:
        unknown.add(tx.gid)
    assert 0 < len(stored) < 1000
    await asyncio.to_thread(small_disk.server.kill)
    small_disk.make_room()
    await asyncio.to_thread(small_disk.server.start)
    stored += await some_rows(store, 3)
    found = {tx.gid for tx in (await store.scan(Filter(), "", 2000))[0]}
    assert {tx.gid for tx in stored} <= found <= {tx.gid for tx in stored} | unknown
    await store.close()


@pytest.fixture
def lone_server(tmp_path):
    server = MariaDB(tmp_path).start()
    yield server
    server.stop()


@pytest.mark.gen_test(timeout=30)
async def test_no_connection_is_left(lone_server):
    store = MysqlStore(lone_server.url("dtm_x"))
    await store.open()
    (tx,) = await some_rows(store, 1)
    ((before,),) = lone_server.run("SELECT @@GLOBAL.max_connections")
    lone_server.run("SET GLOBAL max_connections = 10")  # the least there can be
    with contextlib.ExitStack() as others:
        with pytest.raises(pymysql.err.OperationalError, match="1040"):
            while True:
                others.enter_context(contextlib.closing(lone_server.connect()))
        with pytest.raises(StoreUnavailable, match="Too many connections"):
            await store.renew({tx.id: "node-a"}, 1.0)
        assert await store.load(tx.gid) == tx
    await until_it_may(lone_server, f"SET GLOBAL max_connections = {before}")
    assert await store.renew({tx.id: "node-a"}, 1.0) == {tx.id}
    await store.close()


async def until_it_may(server, statement):
    """Run it as soon as the server has noticed that somebody has gone."""
    async with asyncio.timeout(10):
        while True:
            try:
                return server.run(statement)
            except pymysql.err.OperationalError:
                await asyncio.sleep(0.02)


@pytest.mark.gen_test
async def test_a_flush_that_hangs_holds_up_nobody_else(mysql_store, mariadb):
    rows = await some_rows(mysql_store)
    with transaction(mariadb, mysql_store, "SELECT * FROM dtm_transaction WHERE gid = 'g0' FOR UPDATE"):
        hanging = asyncio.ensure_future(mysql_store.save(saving(rows)[0]))
        await until(lambda: waiting(mariadb, "updated_at = "))
        await asyncio.gather(*map(mysql_store.save, saving(rows)[1:]))
        await mysql_store.insert(owned(mysql_store, "g9"))
        assert await mysql_store.load("g0") == rows[0]
        assert not hanging.done()
    assert (await mysql_store.load("g0")).version == await hanging
