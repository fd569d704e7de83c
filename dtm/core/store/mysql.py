"""The store of several nodes: a MySQL or MariaDB database.

Every statement is a transaction of its own, so no lock is held while we wait for anything. Inserts and saves go through
group commit on connections of their own, the renewal of leases through another. Times are the database's.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from dtm.core.clock import Clock
from dtm.core.errors import OutcomeUnknown, StartupError, StoreUnavailable
from dtm.core.model import Transaction
from dtm.core.store import mysql_galera, mysql_survey
from dtm.core.store import mysql_kv_sql as kv
from dtm.core.store import mysql_schema as schema
from dtm.core.store import mysql_sql as sql
from dtm.core.store.base import KV, TAG_BITS, Claim, Filter
from dtm.core.store.codec import decoded, readable
from dtm.core.store.cursor import encode_cursor, id_from_cursor, key_from_cursor
from dtm.core.store.group_commit import GroupCommit, Item, Verdict
from dtm.core.store.group_load import Found, GroupLoad
from dtm.core.store.grouped import GroupedStore, may_be_stored, to_ms
from dtm.core.store.mysql_address import parse_address
from dtm.core.store.mysql_clock import DatabaseClock
from dtm.core.store.mysql_errors import StatementError
from dtm.core.store.mysql_plain import read, write
from dtm.core.store.mysql_pool import Answer, Pool, Row
from dtm.core.store.mysql_rows import entry, named
from dtm.core.store.mysql_writer import Writer, Written
from dtm.core.store.survey import Backlog, Survey

LANES = 2
"""Flushes of inserts in flight at a time; as many of saves, and of groups of rows that are loaded.

Two, so that a connection that hangs does not hold up everybody; more only made the batches smaller, also where fsync
takes 5 ms (bench/README.md).
"""

READERS = 4
CHUNK = 1000
"""Rows that one statement about held rows speaks of at most."""


class MysqlStore(GroupedStore):
    """Transactions in the database that a URL names. `db_timeout`: seconds that one statement may take."""

    def __init__(
        self,
        url: str,
        *,
        clock: Clock | None = None,
        clock_offset: float = 0.0,
        rng: random.Random | None = None,
        db_timeout: float = 5.0,
    ) -> None:
        super().__init__(clock=clock, clock_offset=clock_offset, rng=rng, db_timeout=db_timeout)
        self.address = parse_address(url)
        self._time = DatabaseClock(self.clock)
        self._reads = Pool(self.address, READERS)
        self._leases = Pool(self.address, 1)
        self._writes = Pool(self.address, 2 * LANES)
        self._pools = (self._reads, self._leases, self._writes)
        self._writer = Writer(self._writes, db_timeout, self.rng, self._offset)
        self._others = Writer(self._reads, db_timeout, self.rng, self._offset)
        # The writes of one gid keep their order over both: a save wants a version that an insert or a read has told.
        self.inserts = GroupCommit(self._flush, lanes=LANES, timeout=db_timeout)
        self.saves = GroupCommit(self._flush, lanes=LANES, timeout=db_timeout)
        self.loads = GroupLoad(self._load, lanes=LANES, timeout=db_timeout)

    def now(self) -> int:
        """The database's time, as of the last answers that told it, moved by `clock_offset` (ms)."""
        now = self._time.now() // 1000
        return now + self._offset() if self.clock_offset else now

    async def open(self) -> None:
        """As the contract says; on an empty server, database and tables are made."""
        try:
            session = await mysql_galera.session(self.address, self.db_timeout)
            for pool in self._pools:
                pool.session = session
            await schema.prepare(self.address, self.db_timeout)
            self._writer.max_packet = self._others.max_packet = await self._look()
            await self._reads.run(sql.TRY, self.db_timeout)
        except (StatementError, StoreUnavailable) as error:
            await self._hang_up()
            raise StartupError(f"store {self.address}: {error}") from error
        except BaseException:
            await self._hang_up()
            raise
        self._open = True

    async def close(self) -> None:
        """As the contract says."""
        if not self._open:
            return
        self._open = False
        await self.loads.close()
        await self._close_queues()
        await self._hang_up()

    async def survey(self) -> Survey:
        """As the contract says."""
        try:
            return await mysql_survey.survey(self.address, self.db_timeout, self._offset())
        except StatementError as error:
            raise StartupError(f"store {self.address}: {error}") from error

    async def upgrade(self) -> tuple[int, int]:
        """As the contract says; on an empty server, database and tables are made."""
        try:
            return await schema.upgrade(self.address, self.db_timeout)
        except StatementError as error:
            raise StartupError(f"store {self.address}: {error}") from error

    async def ping(self) -> None:
        """As the contract says."""
        self._check_open()
        await self._read(sql.TRY)

    async def load(self, gid: str) -> Transaction | None:
        """As the contract says."""
        self._check_open()
        return await self.loads.load(gid) if may_be_stored(gid) else None

    async def claim_due(self, owner: str, limit: int, lease: float, ahead: float = 0.0) -> list[Claim]:
        """As the contract says. After OutcomeUnknown, what it may have claimed is due again when the lease is over."""
        self._check_open()
        asked, offset, length = self._time.boot(), self._offset(), to_ms(lease)
        tag = self.rng.getrandbits(TAG_BITS)
        answer = await self._write(sql.claim(owner, limit, horizon=to_ms(ahead), lease=length, offset=offset, tag=tag))
        if not answer.changed:
            await self._look()
            return []
        until = answer.insert_id or None  # not told where a trigger stands on the table, an auditor's for instance
        if until is not None:
            now = until - length - offset
            self._time.learn(now * 1000, now * 1000 + 1000, asked)
        try:
            rows = await self._read(sql.claimed(owner, until))
        except StoreUnavailable as error:
            raise OutcomeUnknown(f"claimed, but not read: {error}") from error
        claims = []
        for *row, doubt, due_at in rows:
            tx, fault = readable(named(row))
            claims.append(Claim(tx, found_doubt=bool(doubt), found_due=due_at, unreadable=fault))
        return claims

    async def give_back(self, claim: Claim, due_at: int) -> bool:
        """As the contract says."""
        tx = claim.tx
        return (await self._write(sql.give_back(tx.id, tx.owner, claim.found_doubt, due_at))).changed == 1

    async def release(self, gid: str | None = None) -> int:
        """As the contract says."""
        return (await self._write(sql.release(gid, self._offset()))).changed

    async def renew(self, held: Mapping[int, str], lease: float) -> set[int]:
        """As the contract says. OutcomeUnknown also when somebody has locked one of them: the others are renewed."""
        self._check_open()
        kept = set(held)
        for chunk in _chunks(held):
            # First those that no one holds a lock on, so that one that is locked cannot cost the others their leases.
            answer = await self._write(sql.renew(chunk, to_ms(lease), self._offset(), wait=False), self._leases)
            if answer.changed < len(chunk):
                await self._renew_the_rest(chunk, lease)
                rows = await self._read(sql.owned_versions(chunk), self._leases)
                kept -= chunk.keys() - {row_id for row_id, _ in rows}
        return kept

    async def _renew_the_rest(self, held: Mapping[int, str], lease: float) -> None:
        try:
            await self._write(sql.renew(held, to_ms(lease), self._offset(), wait=True), self._leases)
        except StoreUnavailable as error:
            raise OutcomeUnknown(f"some leases are longer now: {error}") from error

    async def owned_versions(self, held: Mapping[int, str]) -> dict[int, int]:
        """As the contract says."""
        self._check_open()
        seen: dict[int, int] = {}
        for chunk in _chunks(held):
            seen.update((row_id, version) for row_id, version in await self._read(sql.owned_versions(chunk)))
        return seen

    async def make_due(self, later_than: float, limit: int) -> int:
        """As the contract says."""
        return (await self._repeat(sql.make_due(to_ms(later_than), limit, self._offset()))).answer.changed

    async def scan(self, wanted: Filter, cursor: str, limit: int) -> tuple[list[Transaction], str]:
        """As the contract says."""
        self._check_open()
        below = id_from_cursor(cursor) if cursor else None
        rows = await self._read(sql.scan(wanted, below, limit + 1))
        page = [readable(named(row))[0] for row in rows[:limit]]
        return page, encode_cursor(page[-1].id) if len(rows) > limit else ""

    async def backlog(self) -> Backlog:
        """As the contract says."""
        self._check_open()
        versions = await mysql_survey.unfinished_versions(self._read)
        return await mysql_survey.backlog(self._read, versions, self._offset())

    async def unfinished_versions(self) -> set[tuple[str, str]]:
        """As the contract says."""
        self._check_open()
        return await mysql_survey.unfinished_versions(self._read)

    async def count_finished(self, before: int) -> int:
        """As the contract says."""
        self._check_open()
        ((number,),) = await self._read(sql.count_finished(before))
        return int(number)

    async def purge_finished(self, before: int, limit: int) -> int:
        """As the contract says."""
        return (await self._repeat(sql.purge(before, limit))).answer.changed

    async def kv_get(self, cat: str, key: str) -> KV | None:
        """As the contract says."""
        self._check_open()
        rows = await self._read(kv.get(cat, key))
        return entry(rows[0]) if rows else None

    async def kv_put(self, cat: str, key: str, value: str, expect: int) -> bool:
        """As the contract says."""
        written = await self._repeat(kv.put(cat, key, value, expect, self._offset()))
        if written.answer.changed or not written.lost:
            return written.answer.changed == 1
        rows = await self._others.look(kv.get(cat, key), self._deadline())
        found = entry(rows[0]) if rows else None
        if found is None or found.version != expect + 1:
            raise OutcomeUnknown("the answer was lost, and somebody has changed the entry since")
        return found.value == value

    async def kv_delete(self, cat: str, key: str) -> bool:
        """As the contract says."""
        found = await self.kv_get(cat, key)
        if found is None:
            return False
        written = await self._repeat(kv.delete(found))
        return written.lost or written.answer.changed == 1

    async def kv_scan(self, cat: str, cursor: str, limit: int) -> tuple[list[KV], str]:
        """As the contract says."""
        self._check_open()
        after = key_from_cursor(cursor) if cursor else None
        entries = [entry(row) for row in await self._read(kv.scan(cat, after, limit + 1))]
        page = entries[:limit]
        return page, encode_cursor(page[-1].cat, page[-1].key) if len(entries) > limit else ""

    async def _load(self, gids: Sequence[str]) -> dict[str, Found]:
        rows = [named(row) for row in await self._read(sql.loads(gids))]
        if not {row[1] for row in rows} <= set(gids):
            raise StoreUnavailable("the database has answered another question")
        return {row[1]: decoded(row) for row in rows}

    async def _flush(self, items: list[Item]) -> list[Verdict]:
        return await self._writer.flush(items)

    def _offset(self) -> int:
        return to_ms(self.clock_offset)

    async def _look(self) -> int:
        """Read the database's clock; returns its longest statement, in bytes."""
        asked = self._time.boot()
        ((now, max_packet),) = await self._read(sql.LOOK)
        self._time.learn(now, now, asked)
        return int(max_packet)

    async def _read(self, query: str, pool: Pool | None = None) -> Sequence[Row]:
        return await read(pool or self._reads, query, self.db_timeout)

    async def _write(self, statement: str, pool: Pool | None = None) -> Answer:
        self._check_open()
        return await write(pool or self._reads, statement, self.db_timeout)

    async def _repeat(self, statement: str) -> Written:
        """Run a statement that may be done twice until it is answered."""
        self._check_open()
        return await self._others.issue(statement, self._deadline())

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self.db_timeout

    async def _hang_up(self) -> None:
        for pool in self._pools:
            await pool.close()


def _chunks(held: Mapping[int, str]) -> Iterator[dict[int, str]]:
    """Parts that one statement can speak of, in key order."""
    rows = iter(sorted(held.items()))
    while part := dict(islice(rows, CHUNK)):
        yield part
