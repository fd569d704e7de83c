"""The store's contract: one row per transaction, changed by compare-and-set on its version (architecture, section 6).

Each method's docstring is its contract; tests/store/ holds every engine to it. All times are UTC milliseconds by the
database's clock, as `now()` knows it; durations are seconds. Errors, for every method: `StoreUnavailable` when
certainly nothing was done (also before `open` and after `close`), `OutcomeUnknown` when a write left for the database
and its fate is not known, `InvalidRequest` when a value is none that the database can hold: refused alone, nothing
stored. Drivers' errors stop here.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from dtm.core.clock import Clock, SystemClock
from dtm.core.model import Transaction
from dtm.core.store.survey import Backlog, Survey
from dtm.core.values import maker

TAG_BITS = 24

QUARANTINE = 253_402_300_799_000
"""The due_at of rows that nobody can do anything with (the end of the year 9999). Only `release` gets them out."""


def next_version(version: int, rng: random.Random) -> int:
    """The version after this one: a counter above, 24 random bits below, so that a write can recognise itself."""
    return ((version >> TAG_BITS) + 1) << TAG_BITS | rng.getrandbits(TAG_BITS)


@dataclass(frozen=True, slots=True)
class Hold:
    """Who holds the row from now on: `owner` with a lease until `due_at`, or "" and the schedule (None: not due).

    An owner token has at most 24 ASCII characters.
    """

    owner: str
    due_at: int | None


new_hold = maker(Hold)


@dataclass(frozen=True, slots=True)
class Save:
    """One compare-and-set: write the status, times and state document of `tx` where the version is still `expect`.

    with_request: the request document changed too (verbs only). hold: change owner and due_at (None: leave both as
    they are in the row). doubt: change the mark (None: leave it).
    """

    tx: Transaction
    expect: int
    with_request: bool = False
    hold: Hold | None = None
    doubt: bool | None = None


new_save = maker(Save)


@dataclass(frozen=True, slots=True)
class Claim:
    """A row this node now owns (`tx.owner`, `tx.version` are the new ones).

    found_doubt: the doubt before the claim. found_due: the due_at before it. unreadable: why its documents cannot be
    read, or ""; `tx` is then good for nothing but to be given back or shown.
    """

    tx: Transaction
    found_doubt: bool
    found_due: int
    unreadable: str = ""


@dataclass(frozen=True, slots=True)
class Filter:
    """What `scan` shows; empty fields do not restrict. created_from and created_to are inclusive milliseconds."""

    status: str = ""
    trans_type: str = ""
    created_from: int | None = None
    created_to: int | None = None
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class KV:
    """One entry of the key-value area (topics live in category `topics`); `version` starts at 1, +1 per change."""

    cat: str
    key: str
    value: str
    version: int
    created_at: int
    updated_at: int


class Store(ABC):
    """Where transactions live."""

    shared = True
    """Whether other nodes may write the same rows; if not, every verb on a row is known here at once."""

    def __init__(
        self, *, clock: Clock | None = None, clock_offset: float = 0.0, rng: random.Random | None = None
    ) -> None:
        self.clock = clock or SystemClock()
        self.clock_offset = clock_offset
        """Seconds added to the database's time; moved by tests (architecture, section 9)."""
        self.rng = rng or random.Random()  # noqa: S311 - tags tell writes apart, they keep no secret

    @abstractmethod
    def now(self) -> int:
        """The database's time as known here without asking it, `clock_offset` included (ms)."""

    @abstractmethod
    async def open(self) -> None:
        """Connect, check or create the schema. StartupError when this store cannot be used, in one clear line."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what is under way and let go of everything. Idempotent."""

    @abstractmethod
    async def survey(self) -> Survey:
        """Look at the store, open or not: nothing is made, changed or claimed. StartupError: it cannot be seen."""

    @abstractmethod
    async def upgrade(self) -> tuple[int, int] | None:
        """Bring the schema to this version's revision, without opening the store: the revisions before and after.

        None: that is done by `open`. StartupError: it cannot be done.
        """

    @abstractmethod
    async def ping(self) -> None:
        """Return when the store takes writes; StoreUnavailable otherwise."""

    @abstractmethod
    async def insert(self, tx: Transaction) -> Transaction | None:
        """Store a new transaction with its owner, doubt and due_at, durably when it returns.

        Returns it as stored, with its id, first version and updated_at = created_at; None when the gid exists already
        (never silently another transaction's row). InvalidRequest: a gid of more than 128 characters, a text that is
        no Unicode, a body that is no JSON.
        """

    @abstractmethod
    async def load(self, gid: str) -> Transaction | None:
        """One consistent read by gid, byte for byte; None when there is none. CorruptRow: it cannot be read."""

    @abstractmethod
    async def save(self, change: Save) -> int:
        """Compare-and-set, durable when it returns; returns the new version. StaleVersion: the row has another version.

        Sets updated_at. Never touches gid, trans_type, protocol_version, created_at; the request (body, options,
        custom_data, and of the branches who they are and what they are sent), owner, due_at and doubt only when told.
        So a save that appends branches must be told `with_request`.
        """

    @abstractmethod
    async def claim_due(self, owner: str, limit: int, lease: float, ahead: float = 0.0) -> list[Claim]:
        """Take over up to `limit` rows with due_at <= now + ahead, oldest due first; at most one node gets a row.

        Sets owner, due_at = now + lease, the next version, and doubt = 1; an aborting or final row keeps its doubt.
        A row whose documents cannot be read is claimed like others, and says so: it costs nobody else anything.
        """

    @abstractmethod
    async def give_back(self, claim: Claim, due_at: int) -> bool:
        """Undo a claim: the row is free and due at `due_at` (ms), its doubt as it was found; False: no longer ours.

        The documents are not touched, so nothing is lost of what this version does not understand. QUARANTINE: for
        good.
        """

    @abstractmethod
    async def release(self, gid: str | None = None) -> int:
        """Make the row with this gid due now if it is in quarantine (None: all that are); how many."""

    @abstractmethod
    async def renew(self, held: Mapping[int, str], lease: float) -> set[int]:
        """Lengthen the leases of these rows (id -> owner token) to now + lease, never shorten one; no version bump.

        Returns the ids that are still held by that token.
        """

    @abstractmethod
    async def owned_versions(self, held: Mapping[int, str]) -> dict[int, int]:
        """Version by id, of those rows that are still held by that token; the others are missing."""

    @abstractmethod
    async def make_due(self, later_than: float, limit: int) -> int:
        """Make up to `limit` free unfinished rows due now whose due_at is later than now + `later_than` s; how many.

        After a lost answer it is done again: the number is then of the second time.
        """

    @abstractmethod
    async def scan(self, wanted: Filter, cursor: str, limit: int) -> tuple[list[Transaction], str]:
        """Newest first, from `cursor` ("" = start); and the next cursor, "" when there is no more.

        A row that cannot be read is shown with its columns, and the reason as its `trouble`; not to be saved.
        InvalidRequest when the cursor is not one that `scan` gave out.
        """

    @abstractmethod
    async def backlog(self) -> Backlog:
        """What is unfinished. Reads indexes only, up to COUNTED entries for each number: its cost has a bound."""

    @abstractmethod
    async def unfinished_versions(self) -> set[tuple[str, str]]:
        """(trans_type, protocol_version) of unfinished transactions; cheap, however many there are of each."""

    @abstractmethod
    async def purge_finished(self, before: int, limit: int) -> int:
        """Delete up to `limit` transactions that ended before `before` (ms); how many.

        After a lost answer it is done again: the number is then of the second time. Unfinished ones are never deleted.
        """

    @abstractmethod
    async def count_finished(self, before: int) -> int:
        """How many transactions ended before `before` (ms): what `purge_finished` would delete."""

    @abstractmethod
    async def kv_get(self, cat: str, key: str) -> KV | None:
        """One entry, or None."""

    @abstractmethod
    async def kv_put(self, cat: str, key: str, value: str, expect: int) -> bool:
        """Write an entry where its version is still `expect` (0 = it must not exist); False when it is not.

        After a lost answer an entry of the next version with this value counts as written, whoever wrote it.
        """

    @abstractmethod
    async def kv_delete(self, cat: str, key: str) -> bool:
        """Delete an entry; False when there was none. Of several that delete it at once more than one may hear True."""

    @abstractmethod
    async def kv_scan(self, cat: str, cursor: str, limit: int) -> tuple[list[KV], str]:
        """Entries of a category ("" = all) ordered by (cat, key), from `cursor`; and the next cursor, "" at the end."""


class IdSource:
    """Makes row ids: 41 bits of milliseconds, 22 bits that start at random each millisecond and count up.

    Time-ordered, so that inserts append to the primary key; unique in a process, and between processes unless two meet
    in the same millisecond and the same 22 bits (the store then asks for another).
    """

    EPOCH = 1_704_067_200_000
    LOW_BITS = 22

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._last = 0

    def new_id(self, now: int) -> int:
        """A new id, larger than every one before."""
        floor = (now - self.EPOCH) << self.LOW_BITS
        if self._last < floor:
            self._last = floor | self._rng.getrandbits(self.LOW_BITS - 1)
        else:
            self._last += 1
        return self._last
