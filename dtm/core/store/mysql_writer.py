"""Writes on MySQL and MariaDB: flushes of group commit, one statement each, and what else must not end in doubt."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dtm.core.errors import InvalidRequest, OutcomeUnknown, StoreUnavailable
from dtm.core.store import mysql_sql as sql
from dtm.core.store.base import TAG_BITS
from dtm.core.store.group_commit import Insert, Item, Update, Verdict
from dtm.core.store.grouped import IdTaken
from dtm.core.store.mysql_errors import LOCK_WAIT, Fate, StatementError
from dtm.core.store.mysql_pool import Answer, Pool, Row

PAUSE_FIRST, PAUSE_MOST = 0.01, 0.3
HEADER = 1024
"""Bytes that a statement's packet may need besides its text."""


@dataclass(frozen=True, slots=True)
class Written:
    """The answer to a statement that was issued until it was answered; `lost`: an earlier issue may have done it."""

    answer: Answer
    lost: bool


class Locked(StoreUnavailable):
    """Somebody else holds a row for longer than any flush does; nothing was done."""


class Writer:
    """Writes batches. An answer that is lost is got by writing again: versions are tagged, so a write knows itself.

    To look instead would not do: a statement whose connection is dead may be executed yet. The second one waits for the
    first one's locks, or comes first and makes it miss.
    """

    def __init__(self, pool: Pool, timeout: float, rng: random.Random, offset: Callable[[], int]) -> None:
        self.max_packet = 1 << 20
        """The longest statement that the server takes, in bytes."""
        self._pool = pool
        self._timeout = timeout
        self._rng = rng
        self._offset = offset

    async def flush(self, items: list[Item]) -> list[Verdict]:
        """Write a batch, as `group_commit.Flush` says; its items are of one kind."""
        deadline = self._clock() + self._timeout
        inserts = [item for item in items if isinstance(item, Insert)]
        if inserts:
            return await self._insert(inserts, deadline)
        return await self._update([item for item in items if isinstance(item, Update)], deadline)

    async def _insert(self, items: list[Insert], deadline: float) -> list[Verdict]:
        written = await self.issue(sql.inserts(items), deadline)
        if written.answer.changed == len(items):
            return [True] * len(items)
        rows = await self.look(sql.ids_of_gids(item.tx.gid for item in items), deadline)
        found = {gid: (row_id, version) for gid, row_id, version in rows}
        return [_verdict(item, found.get(item.tx.gid.encode())) for item in items]

    async def _update(self, items: Sequence[Update], deadline: float) -> list[Verdict]:
        try:
            return await self._compare_and_set(items, deadline)
        except Locked as error:
            locked = error
        if len(items) == 1:
            return [locked]
        rows = await self.look(sql.unlocked(item.tx.id for item in items), deadline)
        free = {row_id for (row_id,) in rows}
        if not free:
            raise locked
        chosen = [item for item in items if item.tx.id in free]
        try:
            verdicts = iter(await self._compare_and_set(chosen, deadline))
        except Locked:
            raise locked from None
        return [next(verdicts) if item.tx.id in free else Locked(str(locked)) for item in items]

    async def _compare_and_set(self, items: Sequence[Update], deadline: float) -> list[Verdict]:
        written = await self.issue(sql.updates(items, self._offset()), deadline)
        changed = written.answer.changed
        if changed == len(items) or (changed == 0 and not written.lost):
            return [changed > 0] * len(items)
        rows = await self.look(sql.versions(item.tx.id for item in items), deadline)
        found = {row[0]: row[1] for row in rows}
        return [found.get(item.tx.id) == item.version for item in items]

    async def issue(self, statement: str, deadline: float) -> Written:
        """Send a statement, which may be done twice, until it is answered; `deadline` by the loop's clock.

        InvalidRequest, StoreUnavailable, Locked: nothing was done. OutcomeUnknown: no answer before the deadline.
        """
        if len(statement) + HEADER > self.max_packet:
            raise InvalidRequest("", "cannot be stored: larger than the database's max_allowed_packet")
        lost, pause = False, PAUSE_FIRST
        while True:
            try:
                return Written(await self._pool.run(statement, deadline - self._clock()), lost)
            except StatementError as error:
                if error.fate is Fate.VALUE:
                    raise InvalidRequest("", f"cannot be stored: {error}") from error
                lost = lost or error.fate is Fate.UNKNOWN
                pause = min(pause * 2, PAUSE_MOST)
                over = self._clock() + pause >= deadline
                if not lost and error.code == LOCK_WAIT:
                    raise Locked(f"somebody else has locked the row: {error}") from error
                if not lost and (over or error.fate is Fate.NOT_NOW):
                    raise StoreUnavailable(f"the database failed: {error}") from error
                if over:
                    raise OutcomeUnknown(f"the database failed, the write may be stored: {error}") from error
            await asyncio.sleep(pause * self._rng.uniform(0.5, 1))

    async def look(self, query: str, deadline: float) -> Sequence[Row]:
        """Read what became of a statement that has been answered. OutcomeUnknown: no answer before the deadline."""
        pause = PAUSE_FIRST
        while True:
            try:
                return (await self._pool.run(query, deadline - self._clock())).rows
            except StatementError as error:
                pause = min(pause * 2, PAUSE_MOST)
                if self._clock() + pause >= deadline:
                    raise OutcomeUnknown(f"the database failed, the write may be stored: {error}") from error
            await asyncio.sleep(pause)

    def _clock(self) -> float:
        return asyncio.get_running_loop().time()


def _verdict(item: Insert, found: tuple[int, int] | None) -> Verdict:
    """What became of an insert: the row with its gid has this id and version. None: another gid has its id."""
    if found is None:
        return IdTaken(str(item.tx.id))
    row_id, version = found
    changed_since = version >> TAG_BITS > item.tx.version >> TAG_BITS
    return row_id == item.tx.id and (version == item.tx.version or changed_since)
