"""The store in memory: for the demo, for tests and for the simulator. Durable as long as the process lives.

The rows live in a `MemoryDatabase`, which several stores may share, as nodes share a server. No threads, no wall time
but the clock's: under a given rng and event loop everything repeats itself.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace

from dtm.core.clock import Clock
from dtm.core.model import Branch, Status, Transaction
from dtm.core.store.base import KV, QUARANTINE, TAG_BITS, Claim, Filter
from dtm.core.store.cursor import encode_cursor, id_from_cursor, key_from_cursor
from dtm.core.store.group_commit import Insert, Item, Update, Verdict
from dtm.core.store.grouped import GroupedStore, IdTaken, to_ms
from dtm.core.store.survey import COUNTED, Backlog, Survey, by_kind


class MemoryDatabase:
    """The rows: what a database server would be."""

    def __init__(self) -> None:
        self.rows: dict[int, Transaction] = {}
        self.ids: dict[str, int] = {}
        self.due: dict[int, int] = {}
        """due_at by id, of the rows that have one."""
        self.kv: dict[tuple[str, str], KV] = {}

    def put(self, row: Transaction) -> None:
        """Write a row and keep the indexes in step."""
        self.rows[row.id] = row
        self.ids[row.gid] = row.id
        if row.due_at is None:
            self.due.pop(row.id, None)
        else:
            self.due[row.id] = row.due_at

    def remove(self, row: Transaction) -> None:
        """Delete a row."""
        del self.rows[row.id], self.ids[row.gid]
        self.due.pop(row.id, None)

    def oldest_due(self, row_ids: Iterable[int], limit: int) -> list[Transaction]:
        """Up to `limit` of these rows, oldest due first."""
        return [self.rows[row_id] for _, row_id in sorted((self.due[i], i) for i in row_ids)[: max(limit, 0)]]


class MemoryStore(GroupedStore):
    """One node's handle of a `MemoryDatabase`."""

    def __init__(
        self,
        database: MemoryDatabase | None = None,
        *,
        clock: Clock | None = None,
        clock_offset: float = 0.0,
        rng: random.Random | None = None,
        db_timeout: float = 5.0,
    ) -> None:
        super().__init__(clock=clock, clock_offset=clock_offset, rng=rng, db_timeout=db_timeout)
        self.database = database or MemoryDatabase()

    async def open(self) -> None:
        """Nothing can go wrong here."""
        self._open = True

    async def close(self) -> None:
        """As the contract says; the database stays."""
        self._open = False
        await self._close_queues()

    async def survey(self) -> Survey:
        """As the contract says."""
        danger = "what is in memory is gone with the process: use another store for anything that counts"
        return Survey("in memory", 0, 0, self.now(), (), (danger,), Backlog({}, 0, None))

    async def upgrade(self) -> None:
        """There is no schema."""

    async def ping(self) -> None:
        """As the contract says."""
        self._check_open()

    async def load(self, gid: str) -> Transaction | None:
        """As the contract says."""
        self._check_open()
        row_id = self.database.ids.get(gid)
        return None if row_id is None else self.database.rows[row_id]

    async def claim_due(self, owner: str, limit: int, lease: float, ahead: float = 0.0) -> list[Claim]:
        """As the contract says."""
        self._check_open()
        now, database = self.now(), self.database
        horizon, until = now + to_ms(ahead), now + to_ms(lease)
        tag = self.rng.getrandbits(TAG_BITS)
        claims = []
        for row in database.oldest_due((i for i, due_at in database.due.items() if due_at <= horizon), limit):
            assert row.due_at is not None
            undoing = row.status is Status.ABORTING or row.status.final
            version = ((row.version >> TAG_BITS) + 1) << TAG_BITS | tag
            mine = replace(row, owner=owner, due_at=until, version=version, doubt=row.doubt if undoing else True)
            database.put(mine)
            claims.append(Claim(mine, found_doubt=row.doubt, found_due=row.due_at))
        return claims

    async def give_back(self, claim: Claim, due_at: int) -> bool:
        """As the contract says."""
        rows = self._held({claim.tx.id: claim.tx.owner})
        for row in rows:
            self.database.put(replace(row, owner="", due_at=due_at, doubt=claim.found_doubt))
        return bool(rows)

    async def release(self, gid: str | None = None) -> int:
        """As the contract says."""
        self._check_open()
        now, database = self.now(), self.database
        rows = [database.rows[i] for i, due_at in database.due.items() if due_at == QUARANTINE]
        chosen = [row for row in rows if gid in (None, row.gid)]
        for row in chosen:
            database.put(replace(row, due_at=now))
        return len(chosen)

    async def renew(self, held: Mapping[int, str], lease: float) -> set[int]:
        """As the contract says."""
        until = self.now() + to_ms(lease)
        rows = self._held(held)
        for row in rows:
            self.database.put(replace(row, due_at=max(row.due_at or 0, until)))
        return {row.id for row in rows}

    async def owned_versions(self, held: Mapping[int, str]) -> dict[int, int]:
        """As the contract says."""
        return {row.id: row.version for row in self._held(held)}

    async def make_due(self, later_than: float, limit: int) -> int:
        """As the contract says."""
        self._check_open()
        now, database = self.now(), self.database
        late = (i for i, due_at in database.due.items() if due_at > now + to_ms(later_than))
        free = (i for i in late if not database.rows[i].owner and not database.rows[i].status.final)
        rows = database.oldest_due(free, limit)
        for row in rows:
            database.put(replace(row, due_at=now))
        return len(rows)

    async def scan(self, wanted: Filter, cursor: str, limit: int) -> tuple[list[Transaction], str]:
        """As the contract says."""
        self._check_open()
        below = id_from_cursor(cursor) if cursor else None
        ids = sorted(self.database.rows, reverse=True)
        rows = (self.database.rows[i] for i in ids if below is None or i < below)
        page = [row for row in rows if _matches(row, wanted)][: limit + 1]
        more = len(page) > limit
        return page[:limit], encode_cursor(page[limit - 1].id) if more else ""

    async def backlog(self) -> Backlog:
        """As the contract says."""
        self._check_open()
        now, rows = self.now(), self.database.rows.values()
        found = by_kind((row.trans_type, row.status, 1, row.id, row.created_at) for row in rows if not row.status.final)
        due = [due_at for due_at in self.database.due.values() if due_at <= now]
        shut_away = sum(due_at == QUARANTINE for due_at in self.database.due.values())
        return Backlog(found, min(len(due), COUNTED), min(due, default=None), min(shut_away, COUNTED))

    async def unfinished_versions(self) -> set[tuple[str, str]]:
        """As the contract says."""
        self._check_open()
        rows = (row for row in self.database.rows.values() if not row.status.final)
        return {(row.trans_type, row.protocol_version) for row in rows}

    async def count_finished(self, before: int) -> int:
        """As the contract says."""
        self._check_open()
        return len(self._ended(before))

    async def purge_finished(self, before: int, limit: int) -> int:
        """As the contract says."""
        self._check_open()
        purged = sorted(self._ended(before))[: max(limit, 0)]
        for _, row_id in purged:
            self.database.remove(self.database.rows[row_id])
        return len(purged)

    async def kv_get(self, cat: str, key: str) -> KV | None:
        """As the contract says."""
        self._check_open()
        return self.database.kv.get((cat, key))

    async def kv_put(self, cat: str, key: str, value: str, expect: int) -> bool:
        """As the contract says."""
        self._check_open()
        now, entry = self.now(), self.database.kv.get((cat, key))
        if (entry.version if entry else 0) != expect:
            return False
        created_at = entry.created_at if entry else now
        self.database.kv[cat, key] = KV(cat, key, value, expect + 1, created_at, now)
        return True

    async def kv_delete(self, cat: str, key: str) -> bool:
        """As the contract says."""
        self._check_open()
        return self.database.kv.pop((cat, key), None) is not None

    async def kv_scan(self, cat: str, cursor: str, limit: int) -> tuple[list[KV], str]:
        """As the contract says."""
        self._check_open()
        after = key_from_cursor(cursor) if cursor else None
        keys = (key for key in sorted(self.database.kv) if after is None or key > after)
        page = [self.database.kv[key] for key in keys if cat in ("", key[0])][: limit + 1]
        more = len(page) > limit
        return page[:limit], encode_cursor(page[limit - 1].cat, page[limit - 1].key) if more else ""

    async def _flush(self, items: list[Item]) -> list[Verdict]:
        return [self._insert(item) if isinstance(item, Insert) else self._update(item) for item in items]

    def _insert(self, item: Insert) -> Verdict:
        if item.tx.gid in self.database.ids:
            return False
        if item.tx.id in self.database.rows:
            return IdTaken(str(item.tx.id))
        self.database.put(item.tx)
        return True

    def _update(self, item: Update) -> Verdict:
        row = self.database.rows.get(item.tx.id)
        if row is None or row.version != item.change.expect:
            return False
        self.database.put(_changed(row, item))
        return True

    def _ended(self, before: int) -> list[tuple[int, int]]:
        """(finished_at, id) of what ended before."""
        ended = ((row.finished_at, row.id) for row in self.database.rows.values())
        return [(at, row_id) for at, row_id in ended if at is not None and at < before]

    def _held(self, held: Mapping[int, str]) -> list[Transaction]:
        self._check_open()
        rows = (self.database.rows.get(row_id) for row_id in held)
        return [row for row in rows if row is not None and row.owner == held[row.id]]

    def _request_of(self, tx: Transaction) -> bytes:
        return b""  # values are kept as they are: nothing here outlives the process

    def _state_of(self, tx: Transaction) -> bytes:
        return b""


def _changed(row: Transaction, item: Update) -> Transaction:
    """The row after a save: of `item.tx`, what a save may change; the rest as it was."""
    change, tx = item.change, item.tx
    asked = tx if change.with_request else row
    held = change.hold or row
    return replace(
        tx,
        gid=row.gid,
        trans_type=row.trans_type,
        protocol_version=row.protocol_version,
        created_at=row.created_at,
        body=asked.body,
        options=asked.options,
        custom_data=asked.custom_data,
        branches=tuple(_standing(*pair) for pair in zip(asked.branches, tx.branches, strict=True)),
        version=item.version,
        updated_at=item.now,
        owner=held.owner,
        due_at=held.due_at,
        doubt=row.doubt if change.doubt is None else change.doubt,
    )


def _standing(asked: Branch, now: Branch) -> Branch:
    if now.url is asked.url and now.payload is asked.payload and now.key == asked.key:
        return now
    return replace(now, branch_id=asked.branch_id, op=asked.op, url=asked.url, payload=asked.payload)


def _matches(row: Transaction, wanted: Filter) -> bool:
    return (
        wanted.status in ("", row.status)
        and not (wanted.unfinished and row.status.final)
        and wanted.trans_type in ("", row.trans_type)
        and (wanted.created_from is None or row.created_at >= wanted.created_from)
        and (wanted.created_to is None or row.created_at <= wanted.created_to)
    )
