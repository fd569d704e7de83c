"""A look at an embedded database file from outside."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from dtm.core.errors import StartupError
from dtm.core.store.sqlite_file import migrations, refuse_lost
from dtm.core.store.sqlite_reader import Reader
from dtm.core.store.survey import Survey


def survey(path: Path, timeout: float, now: int) -> Survey:
    """Look at a file, which a coordinator may hold; blocking. StartupError: it is no database of SQLite's, and
    cannot become one, or it is lost.
    """
    name, known = f"sqlite file {path}", max(migrations())
    library = ("sqlite", sqlite3.sqlite_version)
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise StartupError(f"store {path}: the directory {path.parent} does not exist, or is not writable")
    if not path.exists():
        refuse_lost(path)
        return Survey(name, 0, known, now, (library, ("file", "does not exist yet")))
    running = is_held(path)
    try:
        db = _connect(path, timeout)
        try:
            present = _revision(db)
            found = Reader(db).backlog(now) if present == known else None
            versions = Reader(db).unfinished_versions() if present == known else set()
        finally:
            db.close()
    except sqlite3.Error as error:
        raise StartupError(f"store {path}: {error}") from error
    facts = (
        library,
        ("coordinator", "one is running" if running else "none is running"),
        ("journal", f"{_journal(path)}; dtm opens it with wal, synchronous = FULL"),
    )
    return Survey(name, present, known, now, facts, (), found, frozenset(versions))


def is_held(path: Path) -> bool:
    """Whether a store has the file open."""
    try:
        descriptor = os.open(f"{path}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Held for a moment only; a coordinator that starts in that very moment would be refused.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _connect(path: Path, timeout: float) -> sqlite3.Connection:
    """A connection that leaves no file behind: where there is no log, nobody writes, and none has to be made."""
    how = "mode=ro" if Path(f"{path}-wal").exists() else "immutable=1"
    return sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, timeout=timeout)


def _journal(path: Path) -> str:
    """What the file's header says; a connection may say otherwise."""
    with path.open("rb") as file:
        header = file.read(20)
    return "wal" if header[18:20] == b"\2\2" else "rollback"


def _revision(db: sqlite3.Connection) -> int:
    known = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'dtm_schema'").fetchone()[0]
    return int(db.execute("SELECT coalesce(max(revision), 0) FROM dtm_schema").fetchone()[0]) if known else 0
