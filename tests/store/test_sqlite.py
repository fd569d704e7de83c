"""What only the embedded store promises: real files, real processes, real failures."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from store_values import free, make_tx, owned

from dtm.core.errors import CorruptRow, InvalidRequest, OutcomeUnknown, StartupError, StoreUnavailable
from dtm.core.model import Status
from dtm.core.store.base import Filter, Save
from dtm.core.store.sqlite import SqliteStore
from dtm.core.store.sqlite_file import connect_writer, migrations

CHILD = Path(__file__).with_name("sqlite_child.py")


def child(mode, path):
    return subprocess.Popen([sys.executable, str(CHILD), mode, str(path)], stdout=subprocess.PIPE, text=True)


def told_by(mode, path):
    """The lines that a child says until it ends."""
    with child(mode, path) as process:
        lines = process.stdout.read().splitlines()
    assert process.returncode == 0
    return lines


async def reopened(path):
    store = SqliteStore(path)
    await store.open()
    return store


@pytest.mark.gen_test(timeout=60)
async def test_what_was_acknowledged_survives_kill_9(tmp_path):
    path = tmp_path / "dtm.db"
    for _ in range(3):
        with child("insert", path) as process:
            lines = [process.stdout.readline() for _ in range(2000)]
            process.kill()
            lines += process.stdout.readlines()
        told = [line.split() for line in lines if line.endswith("\n")]
        store = await reopened(path)
        rows = {gid: await store.load(gid) for _, gid in told}
        assert None not in rows.values()
        assert {rows[gid].status for what, gid in told if what == "saved"} == {Status.SUCCEED}
        await store.close()
        path.unlink()


@pytest.mark.gen_test(timeout=60)
async def test_owners_from_before_are_dead(tmp_path):
    path = tmp_path / "dtm.db"
    store = await reopened(path)
    held = await store.insert(owned(store, "held"))
    sure = await store.insert(owned(store, "sure", doubt=False, status=Status.ABORTING))
    later = await store.insert(free(store, "later", 100))
    never = await store.insert(make_tx("never"))
    await store.close()
    store = await reopened(path)
    assert await store.load("later") == later
    assert await store.load("never") == never
    before = await store.load("held")
    assert (before.owner, before.doubt, before.version) == ("", True, held.version)
    claims = {claim.tx.gid: claim for claim in await store.claim_due("new", 10, 15.0)}
    assert {gid: claim.found_doubt for gid, claim in claims.items()} == {"held": True, "sure": False}
    assert claims["sure"].tx.version > sure.version
    await store.close()


@pytest.mark.gen_test(timeout=60)
async def test_a_second_store_is_refused(sqlite_store, tmp_path):
    (line,) = told_by("open", sqlite_store.path)
    assert line.startswith("refused")
    link = tmp_path / "link.db"
    link.symlink_to(sqlite_store.path)
    for path in (sqlite_store.path, link):
        second = SqliteStore(path)
        with pytest.raises(StartupError, match="another process has it open"):
            await second.open()
    await sqlite_store.insert(owned(sqlite_store, "g1"))
    await sqlite_store.close()
    store = await reopened(sqlite_store.path)
    assert await store.load("g1")
    await store.close()


def test_a_file_that_may_not_be_written():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dtm.db"
        connect_writer(path, 1.0, 0).close()
        Path(folder).chmod(0o755)
        path.chmod(0o444)
        (no_lock,) = told_by("open-as-nobody", path)
        assert no_lock.startswith(f"refused store {path}: cannot create {path}.lock")
        Path(folder).chmod(0o777)
        (read_only,) = told_by("open-as-nobody", path)
        assert read_only.startswith(f"refused store {path}: attempt to write a readonly database")


@pytest.mark.gen_test
async def test_what_is_no_usable_file_is_refused_in_one_line(tmp_path):
    garbage = tmp_path / "garbage.db"
    garbage.write_text("this is certainly no database file, however long one looks at it\n" * 100)
    folder = tmp_path / "folder.db"
    folder.mkdir()
    missing = tmp_path / "missing" / "dtm.db"
    for path, text in ((garbage, "not a database"), (folder, "unable to open"), (missing, "does not exist")):
        store = SqliteStore(path)
        with pytest.raises(StartupError, match=text) as caught:
            await store.open()
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        with pytest.raises(StoreUnavailable):
            await store.load("g1")
        await store.close()


@pytest.mark.gen_test
async def test_a_schema_of_another_version_is_refused(tmp_path):
    path = tmp_path / "dtm.db"
    await (await reopened(path)).close()
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO dtm_schema VALUES (?)", (max(migrations()) + 1,))
    db.close()
    with pytest.raises(StartupError, match=f"revision {max(migrations()) + 1}"):
        await reopened(path)


def test_the_schema_is_numbered_and_the_settings_are_durable(tmp_path):
    scripts = migrations()
    assert sorted(scripts) == list(range(1, len(scripts) + 1))
    db = connect_writer(tmp_path / "dtm.db", 1.0, 0)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert db.execute("SELECT max(revision) FROM dtm_schema").fetchone() == (max(scripts),)
    db.close()


@pytest.mark.gen_test(timeout=60)
async def test_a_full_disk_stops_the_store(tmp_path):
    path = tmp_path / "dtm.db"
    lines = told_by("full", path)
    assert "trouble OutcomeUnknown" in lines
    assert lines[-5:] == ["read 0-0", *(f"{what} StoreUnavailable" for what in ("insert", "save", "claim", "ping"))]
    acknowledged = [line.split()[1] for line in lines if line.startswith("inserted")]
    assert len(acknowledged) >= 20
    store = await reopened(path)
    assert None not in [await store.load(gid) for gid in acknowledged]
    assert await store.load("late") is None
    await store.close()


@pytest.mark.gen_test
async def test_a_damaged_file_stops_the_store(tmp_path):
    path = tmp_path / "dtm.db"
    store = await reopened(path)
    await asyncio.gather(*(store.insert(owned(store, f"g{i}")) for i in range(200)))
    await store.close()
    store = await reopened(path)
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with pytest.raises(StoreUnavailable, match="malformed"):
        await store.load("g7")
    for write in (store.insert(owned(store, "late")), store.ping(), store.claim_due("me", 1, 1.0)):
        with pytest.raises(StoreUnavailable, match="takes no writes"):
            await write
    await store.close()


@pytest.mark.gen_test
async def test_one_bad_item_never_fails_its_neighbours(sqlite_store):
    bad = {"g3": {"due_at": 2**63}, "g5": {"body": {"big": 2**70}}, "g8": {"owner": "\ud800"}}
    rows = [owned(sqlite_store, f"g{i}", **bad.get(f"g{i}", {})) for i in range(12)]
    results = await asyncio.gather(*(sqlite_store.insert(tx) for tx in rows), return_exceptions=True)
    assert {tx.gid for tx, result in zip(rows, results, strict=True) if isinstance(result, InvalidRequest)} == {*bad}
    assert {tx.gid for tx in rows if await sqlite_store.load(tx.gid) is None} == {*bad}


@pytest.mark.gen_test
async def test_a_row_that_cannot_be_read_costs_nobody_else_anything(sqlite_store):
    for gid in ("a", "poison", "b"):
        await sqlite_store.insert(free(sqlite_store, gid, -1))
    with sqlite3.connect(sqlite_store.path) as db:
        db.execute("UPDATE dtm_transaction SET state = CAST(x'fffe' AS TEXT) WHERE gid = 'poison'")
    db.close()
    good, bad = await asyncio.gather(*map(sqlite_store.load, ("a", "poison")), return_exceptions=True)
    assert good.gid == "a"
    assert isinstance(bad, CorruptRow)
    assert "'poison'" in str(bad)
    page, _ = await sqlite_store.scan(Filter(), "", 10)
    assert [bool(tx.trouble) for tx in page] == [False, True, False]
    claims = await sqlite_store.claim_due("me", 10, 15.0)
    assert [(claim.tx.gid, "'poison'" in claim.unreadable) for claim in claims] == [
        ("a", False),
        ("poison", True),
        ("b", False),
    ]
    assert await sqlite_store.claim_due("me", 10, 15.0) == []


@pytest.mark.gen_test
async def test_a_stranger_who_locks_the_file(tmp_path):
    store = SqliteStore(tmp_path / "dtm.db", db_timeout=1.0)
    await store.open()
    tx = await store.insert(owned(store, "g1"))
    stranger = sqlite3.connect(store.path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    for write in (store.insert(owned(store, "g2")), store.save(Save(tx, tx.version)), store.ping()):
        with pytest.raises(StoreUnavailable, match="locked"):
            await write
    assert await store.load("g1") == tx
    stranger.execute("ROLLBACK")
    stranger.close()
    assert await store.insert(owned(store, "g2"))
    await store.close()


@pytest.mark.gen_test
async def test_a_slow_disk(tmp_path):
    store = SqliteStore(tmp_path / "dtm.db", db_timeout=0.2)
    await store.open()
    answers = threading.Event()
    pause = store._write_thread.submit(answers.wait, 30)  # as a disk that does not answer for a while
    with pytest.raises(StoreUnavailable, match="withdrawn"):
        await store.kv_put("c", "queued", "v", 0)
    with pytest.raises(OutcomeUnknown):
        await store.insert(owned(store, "g1"))
    assert await store.load("g1") is None
    answers.set()
    assert await pause.answer
    await store.ping()
    assert await store.load("g1")
    assert await store.kv_get("c", "queued") is None
    await store.close()


@pytest.mark.gen_test(timeout=20)
async def test_the_log_is_copied_back_when_the_writer_is_idle(sqlite_store):
    await asyncio.gather(*(sqlite_store.insert(owned(sqlite_store, f"g{i}")) for i in range(200)))
    size = sqlite_store.path.stat().st_size
    while sqlite_store.path.stat().st_size <= size:
        await asyncio.sleep(0.05)
    await sqlite_store.insert(owned(sqlite_store, "more"))


@pytest.mark.gen_test
async def test_a_number_that_no_column_can_hold_finds_nothing_to_break(sqlite_store):
    with pytest.raises(InvalidRequest):
        await sqlite_store.scan(Filter(created_from=2**70), "", 10)
    tx = await sqlite_store.insert(owned(sqlite_store, "g1"))
    with pytest.raises(InvalidRequest):
        await sqlite_store.save(Save(replace(tx, finished_at=2**70), tx.version))
    await sqlite_store.ping()


@pytest.mark.gen_test
async def test_a_removed_file_is_noticed(tmp_path):
    store = SqliteStore(tmp_path / "dtm.db")
    await store.open()
    tx = await store.insert(make_tx("g1"))
    (tmp_path / "dtm.db").rename(tmp_path / "elsewhere.db")
    with pytest.raises(StoreUnavailable, match="removed or replaced"):
        await store.save(Save(tx, tx.version))
    with pytest.raises(StoreUnavailable):
        await store.ping()
    await store.close()


@pytest.mark.gen_test
async def test_a_log_without_its_file_is_not_thrown_away(tmp_path):
    path, log = tmp_path / "dtm.db", tmp_path / "dtm.db-wal"
    store = await reopened(path)
    await store.insert(make_tx("g1"))
    saved, file = log.read_bytes(), path.read_bytes()
    await store.close()
    path.unlink()
    log.write_bytes(saved)
    with pytest.raises(StartupError, match=r"dtm\.db: missing, but its log .*dtm\.db-wal is there"):
        await reopened(path)
    with pytest.raises(StartupError, match=r"dtm\.db: missing, but its log .*dtm\.db-wal is there"):
        await SqliteStore(path).survey()
    assert (path.exists(), log.read_bytes()) == (False, saved)
    path.write_bytes(file)
    store = await reopened(path)
    assert (await store.load("g1")).gid == "g1"
    await store.close()


async def test_a_library_too_old_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 32, 3))
    with pytest.raises(StartupError, match=r"needs SQLite 3\.33\.0 or newer"):
        await SqliteStore(tmp_path / "dtm.db").open()
