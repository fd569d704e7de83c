"""Looking at a store from outside: what is seen is true, and nothing is made, changed or claimed."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import fields

import pytest
from store_values import free, make_tx

from dtm.core.errors import StartupError
from dtm.core.store.base import KV
from dtm.core.store.codec import COLUMNS
from dtm.core.store.memory import MemoryStore
from dtm.core.store.mysql import MysqlStore
from dtm.core.store.mysql_schema import migrations
from dtm.core.store.mysql_survey import dangers
from dtm.core.store.sqlite import SqliteStore
from tests.support.mariadb import database_of


@pytest.mark.gen_test
async def test_looking_at_nothing_makes_nothing(engine, tmp_path, request):
    store = engine(tmp_path)
    found = await store.survey()
    assert found.present == 0
    assert list(tmp_path.iterdir()) == []
    if isinstance(store, MysqlStore):
        assert ("database", f"{database_of(tmp_path)} does not exist yet") in found.facts
        assert request.getfixturevalue("mariadb").run(f"SHOW DATABASES LIKE '{database_of(tmp_path)}'") == ()


@pytest.mark.gen_test
async def test_what_is_seen_of_a_store_in_use(store, engine, tmp_path):
    if isinstance(store, MemoryStore):
        assert [danger for danger in (await store.survey()).dangers if "gone with the process" in danger]
        return
    due = await store.insert(free(store, "due", -5))
    await store.insert(make_tx("waiting"))
    found = await engine(tmp_path).survey()
    assert found.present == found.known > 0
    assert found.backlog == await store.backlog()
    assert found.backlog.due_since == due.due_at
    assert abs(found.now - store.now()) < 10_000
    assert await store.load("due") == due
    assert "heim" not in repr(found)
    if isinstance(store, SqliteStore):
        assert ("coordinator", "one is running") in found.facts
        files = set(tmp_path.iterdir())
        await store.close()
        after = await engine(tmp_path).survey()
        assert ("coordinator", "none is running") in after.facts
        assert after.backlog == found.backlog
        assert set(tmp_path.iterdir()) < files  # no log is left


@pytest.mark.gen_test
async def test_what_cannot_be_seen_is_one_clear_line(tmp_path, mariadb):
    (tmp_path / "dtm.db").write_text("These are not the bytes of a database, but long enough to look at." * 20)
    with pytest.raises(StartupError, match="file is not a database"):
        await SqliteStore(tmp_path / "dtm.db").survey()
    nowhere = MysqlStore(mariadb.url("dtm_x").replace(str(mariadb.port), "1"))
    for look in (nowhere.survey, nowhere.upgrade):
        with pytest.raises(StartupError, match="Can't connect") as caught:
            await look()
        assert "\n" not in str(caught.value)
        assert "heim" not in str(caught.value)


@pytest.mark.gen_test
async def test_another_revision_is_seen_and_not_read(mysql_store, mariadb):
    mariadb.run("UPDATE dtm_schema SET revision = revision + 1", database=mysql_store.address.database)
    found = await mysql_store.survey()
    assert (found.present, found.backlog) == (found.known + 1, None)


@pytest.mark.gen_test
async def test_an_upgrade_makes_what_is_missing_once(mariadb, tmp_path):
    store = MysqlStore(mariadb.url(database_of(tmp_path)))
    known = (await store.survey()).known
    assert await store.upgrade() == (0, known)
    assert await store.upgrade() == (known, known)
    assert (await store.survey()).present == known


@pytest.mark.gen_test
async def test_the_migrations_make_what_the_statements_use_on_both_engines(mysql_store, sqlite_store, mariadb):
    """The engines differ in one column, in which a claim on a server tells what it has found."""

    def on_server(table):
        return {row[0] for row in mariadb.run(f"SHOW COLUMNS FROM {table}", database=mysql_store.address.database)}

    def in_file(table):
        with contextlib.closing(sqlite3.connect(sqlite_store.path)) as file:
            return {row[1] for row in file.execute(f"PRAGMA table_info({table})")}

    assert on_server("dtm_transaction") == {*COLUMNS, "found_due"}
    assert in_file("dtm_transaction") == {*COLUMNS}
    assert on_server("dtm_kv") == in_file("dtm_kv") == {field.name for field in fields(KV)}
    assert on_server("dtm_schema") == in_file("dtm_schema") == {"revision"}


@pytest.mark.gen_test
async def test_every_revision_bears_being_run_again(mysql_store, mariadb):
    """A data definition commits by itself: after a crash halfway the whole script runs again."""
    tx = await mysql_store.insert(free(mysql_store, "g1"))
    database = mysql_store.address.database
    shape = [mariadb.run(f"SHOW CREATE TABLE {table}", database=database) for table in ("dtm_transaction", "dtm_kv")]
    for revision in sorted(migrations()):
        mariadb.run("DELETE FROM dtm_schema WHERE revision >= %s", (revision,), database)
        assert (await mysql_store.upgrade())[1] == max(migrations())
    assert shape == [
        mariadb.run(f"SHOW CREATE TABLE {table}", database=database) for table in ("dtm_transaction", "dtm_kv")
    ]
    assert await mysql_store.load("g1") == tx


# Dangers

MARIADB = "10.11.6-MariaDB-0+deb12u1-log"


@pytest.mark.gen_test
async def test_a_server_s_dangerous_settings_are_seen(mysql_store, mariadb):
    changed = {
        "innodb_flush_log_at_trx_commit": 2, "max_allowed_packet": 1 << 20, "max_statement_time": 30, "read_only": 1,
    }  # fmt: skip
    assert (await mysql_store.survey()).dangers == ()
    before = {name: mariadb.run(f"SELECT @@GLOBAL.{name}")[0][0] for name in changed}
    try:
        for name, value in changed.items():
            mariadb.run(f"SET GLOBAL {name} = {value}")
        found = (await mysql_store.survey()).dangers
    finally:
        for name, value in before.items():
            mariadb.run(f"SET GLOBAL {name} = {value}")
    assert [line.split()[0].rstrip(":") for line in found] == [
        "innodb_flush_log_at_trx_commit", "max_allowed_packet", "read_only", "max_statement_time",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("version", "variables", "cluster", "starts"),
    [
        (MARIADB, {}, {}, []),
        ("5.5.5-10.6.12-MariaDB", {}, {}, []),
        ("10.5.21-MariaDB", {}, {}, ["version 10.5.21-MariaDB is too old"]),
        ("5.5.5-10.5.21-MariaDB", {}, {}, ["version 5.5.5-10.5.21-MariaDB is too old"]),
        ("8.0.36", {}, {}, []),
        ("5.7.44-log", {}, {}, ["version 5.7.44-log is too old"]),
        ("5.7.25-TiDB-v7.5.0", {}, {}, []),
        (MARIADB, {"sync_binlog": "0", "log_bin": "OFF"}, {}, []),
        (MARIADB, {"sync_binlog": "0", "log_bin": "ON"}, {}, ["sync_binlog = 0"]),
        (MARIADB, {"binlog_format": "STATEMENT", "log_bin": "OFF"}, {}, []),
        (MARIADB, {"binlog_format": "STATEMENT", "log_bin": "ON"}, {}, ["binlog_format = STATEMENT"]),
        (MARIADB, {"innodb_doublewrite": "OFF"}, {}, ["innodb_doublewrite is off"]),
        ("8.0.36", {"innodb_doublewrite": "DETECT_ONLY"}, {}, ["innodb_doublewrite is off"]),
        ("8.0.36", {"innodb_doublewrite": "DETECT_AND_RECOVER"}, {}, []),
        ("8.0.36", {"read_only": "ON", "super_read_only": "ON"}, {}, ["read_only and super_read_only"]),
        (MARIADB, {"max_connections": "10", "max_user_connections": "0"}, {}, ["max_connections = 10"]),
        (MARIADB, {"max_user_connections": "5"}, {}, ["max_user_connections = 5"]),
        (MARIADB, {"max_statement_time": "0.000000", "max_allowed_packet": "16777216"}, {}, []),
        (MARIADB, {}, {"wsrep_ready": "OFF", "wsrep_cluster_status": "non-Primary"}, ["wsrep: this node"]),
        (MARIADB, {}, {"wsrep_ready": "ON", "wsrep_cluster_status": "non-Primary"}, ["wsrep: this node"]),
        (MARIADB, {}, {"wsrep_ready": "ON", "wsrep_cluster_status": "Primary"}, []),
    ],
)
def test_what_is_dangerous(version, variables, cluster, starts):
    found = list(dangers(version, variables, cluster))
    assert len(found) == len(starts)
    assert all(line.startswith(start) for line, start in zip(found, starts, strict=True))
