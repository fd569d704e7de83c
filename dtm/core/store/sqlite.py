"""The embedded store: one SQLite file, one process, one writer thread and one reader thread.

A flush of group commit is one hop to the writer thread and one transaction there. After an I/O error, a full disk or a
damaged file the store takes no more writes (`sqlite_writer`).
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

from dtm.core.clock import Clock
from dtm.core.errors import OutcomeUnknown, StoreUnavailable
from dtm.core.model import Transaction
from dtm.core.store import sqlite_survey
from dtm.core.store.base import KV, TAG_BITS, Claim, Filter
from dtm.core.store.codec import decoded, readable
from dtm.core.store.cursor import encode_cursor, id_from_cursor, key_from_cursor
from dtm.core.store.group_commit import Item, Verdict
from dtm.core.store.group_load import Found, GroupLoad
from dtm.core.store.grouped import GroupedStore, may_be_stored, to_ms
from dtm.core.store.sqlite_file import connect_reader, connect_writer, still_in_place, take_lock
from dtm.core.store.sqlite_reader import Reader
from dtm.core.store.sqlite_thread import Job, Worker
from dtm.core.store.sqlite_writer import Writer
from dtm.core.store.survey import Backlog, Survey

P = ParamSpec("P")
T = TypeVar("T")

IDLE = 1.0
"""Seconds without a flush after which the log is copied back into the file."""


class SqliteStore(GroupedStore):
    """Transactions in one SQLite file. `db_timeout`: seconds until a caller hears that the disk does not answer."""

    shared = False  # one process: the lock file sees to it

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock | None = None,
        clock_offset: float = 0.0,
        rng: random.Random | None = None,
        db_timeout: float = 5.0,
    ) -> None:
        super().__init__(clock=clock, clock_offset=clock_offset, rng=rng, db_timeout=db_timeout)
        self.path = Path(path).resolve()
        self.loads = GroupLoad(self._load, timeout=db_timeout)
        self._lock = -1
        self._write_thread: Worker
        self._read_thread: Worker
        self._writer: Writer
        self._reader: Reader
        self._to_close: list[tuple[Worker, Callable[[], None]]] = []
        self._last_flush = 0.0
        self._idle: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """As the contract says; rows owned by a former process become due at once."""
        self._lock = take_lock(self.path)
        self._write_thread, self._read_thread = Worker("dtm-store-writer"), Worker("dtm-store-reader")
        try:
            writing = self._write_thread.submit(connect_writer, self.path, self.db_timeout, self.now())
            self._writer = Writer(await writing.answer, still_in_place(self.path))
            self._to_close.append((self._write_thread, self._writer.close))
            reading = self._read_thread.submit(connect_reader, self.path, self.db_timeout)
            self._reader = Reader(await reading.answer)
            self._to_close.append((self._read_thread, self._reader.close))
        except BaseException:
            await self._let_go()
            raise
        self._open = True

    async def close(self) -> None:
        """As the contract says; the log is copied back into the file."""
        if not self._open:
            return
        self._open = False
        await self.loads.close()
        await self._close_queues()
        if self._idle is not None:
            self._idle.cancel()
        await self._let_go()

    async def survey(self) -> Survey:
        """As the contract says."""
        return await asyncio.to_thread(sqlite_survey.survey, self.path, self.db_timeout, self.now())

    async def upgrade(self) -> None:
        """Every `open` does it."""

    async def ping(self) -> None:
        """As the contract says."""
        await self._write(self._writing().nothing)

    async def load(self, gid: str) -> Transaction | None:
        """As the contract says."""
        self._check_open()
        return await self.loads.load(gid) if may_be_stored(gid) else None

    async def claim_due(self, owner: str, limit: int, lease: float, ahead: float = 0.0) -> list[Claim]:
        """As the contract says."""
        now, tag = self.now(), self.rng.getrandbits(TAG_BITS)
        job = self._writing().claim
        claims = []
        for row, doubt, due_at in await self._write(job, owner, limit, now + to_ms(ahead), now + to_ms(lease), tag):
            tx, fault = readable(row)
            claims.append(Claim(tx, found_doubt=doubt, found_due=due_at, unreadable=fault))
        return claims

    async def give_back(self, claim: Claim, due_at: int) -> bool:
        """As the contract says."""
        return await self._write(self._writing().give_back, claim, due_at)

    async def release(self, gid: str | None = None) -> int:
        """As the contract says."""
        return await self._write(self._writing().release, self.now(), gid)

    async def renew(self, held: Mapping[int, str], lease: float) -> set[int]:
        """As the contract says."""
        return await self._write(self._writing().renew, held, self.now() + to_ms(lease))

    async def owned_versions(self, held: Mapping[int, str]) -> dict[int, int]:
        """As the contract says."""
        self._check_open()
        return await self._read(self._reader.owned_versions, held)

    async def make_due(self, later_than: float, limit: int) -> int:
        """As the contract says."""
        now = self.now()
        return await self._write(self._writing().make_due, now, now + to_ms(later_than), limit)

    async def scan(self, wanted: Filter, cursor: str, limit: int) -> tuple[list[Transaction], str]:
        """As the contract says."""
        self._check_open()
        below = id_from_cursor(cursor) if cursor else None
        rows = await self._read(self._reader.scan, wanted, below, limit + 1)
        page = [readable(row)[0] for row in rows[:limit]]
        return page, encode_cursor(page[-1].id) if len(rows) > limit else ""

    async def backlog(self) -> Backlog:
        """As the contract says."""
        self._check_open()
        return await self._read(self._reader.backlog, self.now())

    async def unfinished_versions(self) -> set[tuple[str, str]]:
        """As the contract says."""
        self._check_open()
        return await self._read(self._reader.unfinished_versions)

    async def count_finished(self, before: int) -> int:
        """As the contract says."""
        self._check_open()
        return await self._read(self._reader.count_finished, before)

    async def purge_finished(self, before: int, limit: int) -> int:
        """As the contract says."""
        return await self._write(self._writing().purge, before, limit)

    async def kv_get(self, cat: str, key: str) -> KV | None:
        """As the contract says."""
        self._check_open()
        return await self._read(self._reader.kv_get, cat, key)

    async def kv_put(self, cat: str, key: str, value: str, expect: int) -> bool:
        """As the contract says."""
        return await self._write(self._writing().kv_put, cat, key, value, expect, self.now())

    async def kv_delete(self, cat: str, key: str) -> bool:
        """As the contract says."""
        return await self._write(self._writing().kv_delete, cat, key)

    async def kv_scan(self, cat: str, cursor: str, limit: int) -> tuple[list[KV], str]:
        """As the contract says."""
        self._check_open()
        after = key_from_cursor(cursor) if cursor else None
        entries = await self._read(self._reader.kv_scan, cat, after, limit + 1)
        page = entries[:limit]
        return page, encode_cursor(page[-1].cat, page[-1].key) if len(entries) > limit else ""

    async def _load(self, gids: Sequence[str]) -> dict[str, Found]:
        rows = await self._read(self._reader.load, gids)
        return {row[1]: decoded(row) for row in rows}

    async def _flush(self, items: list[Item]) -> list[Verdict]:
        verdicts = await self._write_thread.submit(self._writer.run, self._writer.flush, items).answer
        loop = asyncio.get_running_loop()
        self._last_flush = loop.time()
        if self._idle is None:
            self._idle = loop.call_later(IDLE, self._checkpoint_when_idle, loop)
        return verdicts

    def _checkpoint_when_idle(self, loop: asyncio.AbstractEventLoop) -> None:
        left = self._last_flush + IDLE - loop.time()
        if left > 0:
            self._idle = loop.call_later(left, self._checkpoint_when_idle, loop)
        else:
            self._idle = None
            self._write_thread.submit(self._writer.checkpoint)

    def _writing(self) -> Writer:
        self._check_open()
        return self._writer

    async def _write(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        work = self._write_thread.submit(lambda: self._writer.run(job, *args, **kwargs))
        try:
            return await self._result(work)
        except TimeoutError:
            if work.withdraw():
                raise StoreUnavailable("the database is too slow: the write was withdrawn") from None
            raise OutcomeUnknown("the database has not answered: the write may be stored") from None

    async def _read(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        work = self._read_thread.submit(job, *args, **kwargs)
        try:
            return await self._result(work)
        except TimeoutError:
            work.withdraw()
            raise StoreUnavailable("the database has not answered") from None
        except (sqlite3.Error, ValueError, OverflowError) as error:
            meaning = self._writer.meaning(error)
            if isinstance(meaning, OutcomeUnknown):
                meaning = StoreUnavailable(f"the database failed: {error}")
            raise meaning from error

    async def _result(self, work: Job[T]) -> T:
        """What a thread's job returns or raises; TimeoutError after `db_timeout`, while it goes on."""
        waiting = work.answer
        waiting.add_done_callback(_heard)
        done, _ = await asyncio.wait({waiting}, timeout=self.db_timeout)
        if not done:
            raise TimeoutError
        return waiting.result()

    async def _let_go(self) -> None:
        """Close the connections, each in its thread; give the lock back unless one of them hangs."""
        hangs = False
        for thread, close in self._to_close:
            try:
                await self._result(thread.submit(close))
            except TimeoutError:
                hangs = True
        self._write_thread.stop()
        self._read_thread.stop()
        if not hangs:
            os.close(self._lock)


def _heard(future: asyncio.Future[T]) -> None:
    """Look at the error of a job whose caller has left, lest asyncio complains that nobody did."""
    if not future.cancelled():
        future.exception()
