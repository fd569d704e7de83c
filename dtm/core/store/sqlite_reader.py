"""Everything that only reads the embedded database; it all runs on the reader thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dtm.core.store import sqlite_sql as sql
from dtm.core.store.base import KV, Filter
from dtm.core.store.codec import FIRST_FINAL, STATUS_OF
from dtm.core.store.survey import Backlog, by_kind

Row = tuple[Any, ...]
"""In the order of `codec.COLUMNS`."""


class Reader:
    """The connection that reads."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def load(self, gids: Sequence[str]) -> list[Row]:
        """The rows that there are of these gids."""
        return self._db.execute(sql.loads(len(gids)), gids).fetchall()

    def owned_versions(self, held: Mapping[int, str]) -> dict[int, int]:
        """Version by id, of those rows that are held by that token."""
        return dict(self._db.execute(sql.HELD, (sql.held_json(held),)).fetchall())

    def scan(self, wanted: Filter, below: int | None, limit: int) -> list[Row]:
        """Up to `limit` rows with an id below the given one, newest first."""
        return self._db.execute(*sql.scan(wanted, below, limit)).fetchall()

    def backlog(self, now: int) -> Backlog:
        """What is unfinished."""
        found = [
            (kind, STATUS_OF[code], self._one(sql.NUMBER, (code, kind, version)), *oldest)
            for code, kind, version, *oldest in self._oldest()
        ]
        return Backlog(by_kind(found), *self._db.execute(sql.DUE_NOW, (now,)).fetchone())

    def unfinished_versions(self) -> set[tuple[str, str]]:
        """(trans_type, protocol_version) of the unfinished rows."""
        return {(kind, version) for _, kind, version, *_ in self._oldest()}

    def _oldest(self) -> Iterator[Row]:
        """status, trans_type, protocol_version, id, created_at: of the oldest unfinished row of each such three."""
        for code in range(1, FIRST_FINAL):
            after = ("", "")
            while row := self._next(code, *after):
                yield (code, *row)
                after = row[:2]

    def _next(self, code: int, kind: str, version: str) -> Row | None:
        row: Row | None = self._db.execute(sql.NEXT_VERSION, (code, kind, version)).fetchone()
        return row or self._db.execute(sql.NEXT_TYPE, (code, kind)).fetchone()

    def count_finished(self, before: int) -> int:
        """How many ended before."""
        return self._one(sql.COUNT_FINISHED, (before,))

    def kv_get(self, cat: str, key: str) -> KV | None:
        """One entry."""
        row = self._db.execute(sql.KV_GET, (cat, key)).fetchone()
        return KV(*row) if row else None

    def kv_scan(self, cat: str, after: tuple[str, str] | None, limit: int) -> list[KV]:
        """Up to `limit` entries behind a place."""
        values = (cat, *(after or (None, None)), limit)
        return [KV(*row) for row in self._db.execute(sql.KV_SCAN, values)]

    def _one(self, query: str, values: Row) -> int:
        number: int = self._db.execute(query, values).fetchone()[0]
        return number

    def close(self) -> None:
        """Close the connection."""
        self._db.close()
