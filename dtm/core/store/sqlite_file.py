"""Opening the embedded database file: its lock, its connections, its schema."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from dtm.core.errors import StartupError
from dtm.core.store.sqlite_sql import ORPHANS

OLDEST_SQLITE = (3, 33, 0)
"""The first with UPDATE ... FROM."""

CHECKPOINT_PAGES = 4000
"""A write-ahead log this long is copied back within a commit; a shorter one waits until the writer is idle."""


def take_lock(path: Path) -> int:
    """Lock `<file>.lock` for this process; the descriptor holds the lock until it is closed.

    StartupError: the directory is missing or not writable, or another store has the file open.
    """
    try:
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except FileNotFoundError as error:
        raise StartupError(f"store {path}: the directory {path.parent} does not exist") from error
    except OSError as error:
        raise StartupError(f"store {path}: cannot create {path}.lock: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StartupError(f"store {path}: another process has it open (it holds {path}.lock)") from error
    return descriptor


def refuse_lost(path: Path) -> None:
    """StartupError when a file that is not there has left its log: SQLite would begin anew, and throw the log away."""
    log = Path(f"{path}-wal")
    if log.exists() and log.stat().st_size:
        raise StartupError(
            f"store {path}: missing, but its log {log} is there: put the file back, or move the log away"
        )


def connect_writer(path: Path, timeout: float, now: int) -> sqlite3.Connection:
    """The connection that writes, schema up to date. StartupError when the file cannot be used.

    Rows that had an owner are free and due `now`: whoever owned them is dead, this process alone has the lock. Their
    doubt stays for the claim to find.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise StartupError(f"store {path}: needs SQLite {oldest} or newer, this is {sqlite3.sqlite_version}")
    if not path.exists():
        refuse_lost(path)
    try:
        db = sqlite3.connect(path, timeout=timeout / 2, isolation_level=None)
    except sqlite3.Error as error:
        raise StartupError(f"store {path}: {error}") from error
    try:
        mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise StartupError(f"store {path}: its file system cannot do write-ahead logging")
        # FULL: NORMAL would acknowledge what a power cut can take back.
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        _migrate(db, path)
        db.execute(ORPHANS, (now,))  # the first write, which a read-only file refuses
    except sqlite3.Error as error:
        db.close()
        raise StartupError(f"store {path}: {error}") from error
    except BaseException:
        db.close()
        raise
    return db


def still_in_place(path: Path) -> Callable[[], bool]:
    """A question to ask before each write: is the file that was opened still the one at `path`?

    Else all that is written after somebody has removed the file would be acknowledged, and gone with the process.
    """
    opened = path.stat()

    def in_place() -> bool:
        try:
            return os.path.samestat(opened, path.stat())
        except OSError:
            return False

    return in_place


def connect_reader(path: Path, timeout: float) -> sqlite3.Connection:
    """The connection that only reads. StartupError when the file cannot be used."""
    try:
        db = sqlite3.connect(path, timeout=timeout / 2, isolation_level=None)
        db.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise StartupError(f"store {path}: {error}") from error
    return db


def migrations() -> dict[int, str]:
    """The schema's revisions: number -> SQL script."""
    folder = files("dtm.core.store") / "migrations" / "sqlite"
    scripts = (entry for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return {int(script.name.partition("_")[0]): script.read_text("utf-8") for script in scripts}


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.execute("CREATE TABLE IF NOT EXISTS dtm_schema (revision INTEGER NOT NULL PRIMARY KEY)")
    (present,) = db.execute("SELECT coalesce(max(revision), 0) FROM dtm_schema").fetchone()
    db.execute("COMMIT")
    scripts = migrations()
    if present > max(scripts):
        raise StartupError(
            f"store {path}: its schema has revision {present}, this version of dtm knows {max(scripts)} at most"
        )
    for revision in sorted(scripts):
        if revision > present:
            note = f"INSERT INTO dtm_schema (revision) VALUES ({revision:d});"  # noqa: S608 - a number of ours
            db.executescript(f"BEGIN IMMEDIATE;\n{scripts[revision]}\n{note}\nCOMMIT;")
