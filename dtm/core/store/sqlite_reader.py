"""Everything that only reads the embedded database; it all runs on the reader thread, one statement each."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from dtm.core.store import sqlite_sql as sql
from dtm.core.store.base import KV, Filter
from dtm.core.store.codec import STATUS_OF
from dtm.core.store.survey import Backlog, Unfinished

Row = tuple[Any, ...]
"""In the order of `codec.COLUMNS`."""


class Reader:
    """The connection that reads."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def load(self, gid: str) -> Row | None:
        """The row of a gid."""
        row: Row | None = self._db.execute(sql.LOAD, (gid,)).fetchone()
        return row

    def owned_versions(self, held: Mapping[int, str]) -> dict[int, int]:
        """Version by id, of those rows that are held by that token."""
        return dict(self._db.execute(sql.HELD, (sql.held_json(held),)).fetchall())

    def scan(self, wanted: Filter, below: int | None, limit: int) -> list[Row]:
        """Up to `limit` rows with an id below the given one, newest first."""
        return self._db.execute(*sql.scan(wanted, below, limit)).fetchall()

    def backlog(self, now: int) -> Backlog:
        """What is unfinished."""
        kinds = [(kind, STATUS_OF[code], *found) for kind, code, *found in self._db.execute(sql.KINDS)]
        due, since, shut_away = self._db.execute(sql.DUE_NOW, (now,)).fetchone()
        return Backlog({(kind, status): Unfinished(*found) for kind, status, *found in kinds}, due, since, shut_away)

    def unfinished_versions(self) -> set[tuple[str, str]]:
        """(trans_type, protocol_version) of the unfinished rows."""
        return set(self._db.execute(sql.VERSIONS))

    def count_finished(self, before: int) -> int:
        """How many ended before."""
        number: int = self._db.execute(sql.COUNT_FINISHED, (before,)).fetchone()[0]
        return number

    def kv_get(self, cat: str, key: str) -> KV | None:
        """One entry."""
        row = self._db.execute(sql.KV_GET, (cat, key)).fetchone()
        return KV(*row) if row else None

    def kv_scan(self, cat: str, after: tuple[str, str] | None, limit: int) -> list[KV]:
        """Up to `limit` entries behind a place."""
        values = (cat, *(after or (None, None)), limit)
        return [KV(*row) for row in self._db.execute(sql.KV_SCAN, values)]

    def close(self) -> None:
        """Close the connection."""
        self._db.close()
