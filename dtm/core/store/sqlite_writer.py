"""Everything that changes the embedded database; it all runs on the one writer thread, a transaction at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from dtm.core.errors import DtmError, InvalidRequest, OutcomeUnknown, StoreUnavailable
from dtm.core.model import Transaction
from dtm.core.store import sqlite_sql as sql
from dtm.core.store.base import Claim
from dtm.core.store.codec import STATUS_CODE
from dtm.core.store.group_commit import Insert, Item, Update, Verdict
from dtm.core.store.grouped import IdTaken

P = ParamSpec("P")
T = TypeVar("T")

ABOUT_A_VALUE = {sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH}
NOT_NOW = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

ClaimedRow = tuple[tuple[Any, ...], bool, int]
"""A row as claimed, in the order of `codec.COLUMNS`; the doubt and the due_at that were found."""


class Writer:
    """The connection that writes. `run` is the way in."""

    def __init__(self, db: sqlite3.Connection, in_place: Callable[[], bool]) -> None:
        self.broken = ""
        """Why this store takes no more writes, or ""."""
        self._in_place = in_place
        self._db = db

    def run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one of the methods below in a transaction of its own.

        OutcomeUnknown after an I/O error, a full disk or the like: the batch is abandoned whole, and from then on
        everything is StoreUnavailable. Commits that had failed so have come back after a restart: no guessing.
        """
        if not self.broken and not self._in_place():
            self.broken = "the store takes no writes: its file was removed or replaced; put it back and restart"
        if self.broken:
            raise StoreUnavailable(self.broken)
        try:
            self._db.execute("BEGIN IMMEDIATE")
            result = job(*args, **kwargs)
            self._db.execute("COMMIT")
        except (sqlite3.Error, ValueError, OverflowError) as error:
            meaning = self.meaning(error)
            self._roll_back()
            raise meaning from error
        except BaseException:
            self._roll_back()
            raise
        return result

    def meaning(self, error: Exception) -> DtmError:
        """What an error of the driver says to a caller. One that speaks of the database itself breaks the store."""
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISMATCH) & 0xFF
        if code in ABOUT_A_VALUE:
            return InvalidRequest("", f"cannot be stored: {error}")
        if code in NOT_NOW:
            return StoreUnavailable(f"somebody else has locked the database: {error}")
        self.broken = f"the store takes no writes since its database failed: {error}; mend that and restart"
        return OutcomeUnknown(f"the database failed, the write may be stored: {error}")

    def flush(self, items: list[Item]) -> list[Verdict]:
        """Write a batch, in one statement for each kind: the interpreter's lock changes hands once, not once a row."""
        inserts = [item for item in items if isinstance(item, Insert)]
        updates = [item for item in items if isinstance(item, Update)]
        written = iter(self._insert(inserts) if inserts else ())
        changed = iter(self._update(updates) if updates else ())
        return [next(written) if isinstance(item, Insert) else next(changed) for item in items]

    def claim(self, owner: str, limit: int, horizon: int, until: int, tag: int) -> list[ClaimedRow]:
        """Claim what is due at `horizon`, oldest first, with a lease `until` and this tag in the versions."""
        found = self._db.execute(sql.DUE, (horizon, max(limit, 0))).fetchall()
        if not found:
            return []
        ids = sql.ids_json(row_id for row_id, _, _ in found)
        self._db.execute(sql.CLAIM, (owner, until, tag, ids))
        rows = {row[0]: row for row in self._db.execute(sql.LOAD_IDS, (ids,))}
        return [(rows[row_id], bool(doubt), due_at) for row_id, doubt, due_at in found]

    def renew(self, held: Mapping[int, str], until: int) -> set[int]:
        """Lengthen leases."""
        ids = {row_id for row_id, _ in self._db.execute(sql.HELD, (sql.held_json(held),))}
        if ids:
            self._db.execute(sql.RENEW, (until, sql.ids_json(ids)))
        return ids

    def give_back(self, claim: Claim, due_at: int) -> bool:
        """Undo a claim."""
        tx = claim.tx
        return self._db.execute(sql.GIVE_BACK, (due_at, claim.found_doubt, tx.id, tx.owner)).rowcount == 1

    def release(self, now: int, gid: str | None) -> int:
        """Make rows in quarantine due."""
        return self._db.execute(sql.RELEASE, (now, gid)).rowcount

    def make_due(self, now: int, later_than: int, limit: int) -> int:
        """Make free rows due."""
        return self._db.execute(sql.MAKE_DUE, (now, later_than, max(limit, 0))).rowcount

    def purge(self, before: int, limit: int) -> int:
        """Delete what ended before."""
        return self._db.execute(sql.PURGE, (before, max(limit, 0))).rowcount

    def kv_put(self, cat: str, key: str, value: str, expect: int, now: int) -> bool:
        """Write an entry by compare-and-set."""
        if expect == 0:
            return self._db.execute(sql.KV_NEW, (cat, key, value, now)).rowcount == 1
        return self._db.execute(sql.KV_CHANGE, (cat, key, value, now, expect)).rowcount == 1

    def kv_delete(self, cat: str, key: str) -> bool:
        """Delete an entry."""
        return self._db.execute(sql.KV_DELETE, (cat, key)).rowcount == 1

    def nothing(self) -> None:
        """Take the write lock and give it back: that is what `ping` asks for."""

    def checkpoint(self) -> None:
        """Copy the log back into the file, as far as nobody reads it. Not by `run`: it wants no transaction."""
        if self.broken:
            return
        try:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error as error:
            self.meaning(error)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def _insert(self, items: list[Insert]) -> list[Verdict]:
        values: list[Any] = []
        for item in items:
            tx = item.tx
            values += (
                tx.id, tx.gid, tx.trans_type, tx.protocol_version, STATUS_CODE[tx.status], tx.version, tx.owner,
                tx.doubt, tx.due_at, tx.created_at, tx.updated_at, tx.finished_at, item.request.decode(),
                item.state.decode(),
            )  # fmt: skip
        if self._db.execute(sql.inserts(len(items)), values).rowcount == len(items):
            return [True] * len(items)
        stored = self._versions(items)
        return [stored.get(item.tx.id) == item.tx.version or self._not_inserted(item.tx) for item in items]

    def _not_inserted(self, tx: Transaction) -> Verdict:
        exists = self._db.execute(sql.GID_EXISTS, (tx.gid,)).fetchone()
        return False if exists else IdTaken(str(tx.id))

    def _update(self, items: list[Update]) -> list[Verdict]:
        values: list[Any] = []
        for item in items:
            tx, change, hold = item.tx, item.change, item.change.hold
            values += (
                tx.id, change.expect, STATUS_CODE[tx.status], item.version, item.now, tx.finished_at,
                item.state.decode(), None if item.request is None else item.request.decode(), change.doubt,
                hold.owner if hold else None, hold.due_at if hold else None,
            )  # fmt: skip
        if self._db.execute(sql.updates(len(items)), values).rowcount == len(items):
            return [True] * len(items)
        stored = self._versions(items)
        return [stored.get(item.tx.id) == item.version for item in items]

    def _versions(self, items: Sequence[Item]) -> dict[int, int]:
        """What is stored: versions are tagged, so a write knows itself."""
        return dict(self._db.execute(sql.STORED, (sql.ids_json(item.tx.id for item in items),)).fetchall())

    def _roll_back(self) -> None:
        if self._db.in_transaction:  # after some errors the engine has rolled back by itself
            try:
                self._db.execute("ROLLBACK")
            except sqlite3.Error as error:
                self.meaning(error)
