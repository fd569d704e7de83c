"""What every engine does alike: ids, versions and documents of a write, before group commit takes it."""

from __future__ import annotations

import random
from abc import abstractmethod

from dtm.core.clock import Clock
from dtm.core.errors import DtmError, InvalidRequest, StaleVersion, StoreUnavailable
from dtm.core.model import Transaction
from dtm.core.store.base import IdSource, Save, Store, next_version
from dtm.core.store.codec import encode_request, encode_state
from dtm.core.store.group_commit import GroupCommit, Item, Verdict, new_insert, new_update
from dtm.core.values import replacer

GID_CHARS = 128
ID_TRIES = 10


_numbered = replacer(Transaction, "id", "version", "updated_at")


class IdTaken(DtmError):
    """Another transaction's row has this id: ask for another. Never leaves the store."""


class GroupedStore(Store):
    """A store whose inserts and saves go through group commit."""

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        clock_offset: float = 0.0,
        rng: random.Random | None = None,
        db_timeout: float = 5.0,
    ) -> None:
        super().__init__(clock=clock, clock_offset=clock_offset, rng=rng)
        self.db_timeout = db_timeout
        """Seconds after which a caller hears that the database does not answer."""
        self.inserts = self.saves = GroupCommit(self._flush, timeout=db_timeout)
        """One queue and one writer for both, unless the engine has better ones."""
        self.stale_saves = 0
        """Compare-and-sets lost so far."""
        self._ids = IdSource(self.rng)
        self._open = False

    @abstractmethod
    async def _flush(self, items: list[Item]) -> list[Verdict]:
        """Write a batch, as `group_commit.Flush` says; an insert whose id is another row's has the verdict IdTaken."""

    def now(self) -> int:
        """The clock's date, moved by `clock_offset` (ms)."""
        now = self.clock.wall()
        return now + to_ms(self.clock_offset) if self.clock_offset else now

    async def insert(self, tx: Transaction) -> Transaction | None:
        """As the contract says."""
        self._check_open()
        _check_gid(tx.gid)
        request, state = self._request_of(tx), self._state_of(tx)
        for _ in range(ID_TRIES):
            stored = _numbered(
                tx, id=self._ids.new_id(self.now()), version=next_version(0, self.rng), updated_at=tx.created_at
            )
            try:
                written = await self.inserts.write(new_insert(stored, request, state))
            except IdTaken:
                continue
            return stored if written else None
        raise StoreUnavailable("found no free row id")

    async def save(self, change: Save) -> int:
        """As the contract says."""
        self._check_open()
        version = next_version(change.expect, self.rng)
        request = self._request_of(change.tx) if change.with_request else None
        item = new_update(change, version, self.now(), request, self._state_of(change.tx))
        if not await self.saves.write(item):
            self.stale_saves += 1
            raise StaleVersion(f"transaction {change.tx.gid!r} no longer has version {change.expect}")
        return version

    async def _close_queues(self) -> None:
        for queue in (self.inserts, self.saves):
            await queue.close()

    def _check_open(self) -> None:
        if not self._open:
            raise StoreUnavailable("the store is not open")

    def _request_of(self, tx: Transaction) -> bytes:
        return encode_request(tx)

    def _state_of(self, tx: Transaction) -> bytes:
        return encode_state(tx)


def _check_gid(gid: str) -> None:
    """Refuse what a column might cut short: a gid is compared byte for byte, whole."""
    if not may_be_stored(gid):
        raise InvalidRequest("/gid", f"expected at most {GID_CHARS} characters of valid Unicode")


def may_be_stored(gid: str) -> bool:
    """Whether a row can have this gid."""
    return len(gid) <= GID_CHARS and is_unicode(gid)


def to_ms(seconds: float) -> int:
    """Whole milliseconds."""
    return round(seconds * 1000)


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8: one with a lone surrogate cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
