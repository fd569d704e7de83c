"""What a checker reads: all that was seen of a run from outside, and nothing that the product says of itself.

Clients write down what they asked and heard, participants every call and every effect, the database (by triggers of
the tests' own) every change of a transaction's row, the nemesis what it did.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dtm.core.store.mysql_sql import NEVER

TAG_BITS = 24
Query = Callable[[str], Sequence[tuple]]
"""Runs a statement in a coordinator's database."""

STATUSES = {1: "prepared", 2: "submitted", 3: "aborting", 4: "succeed", 5: "failed"}
FINAL = frozenset({"succeed", "failed"})


@dataclass(frozen=True)
class Leg:
    """One part of a transfer: `change` (negative: money leaves) to an account of bank number `bank`."""

    bank: int
    account: str
    change: int


@dataclass(frozen=True)
class Transfer:
    """What a client wants. Its legs are branches 01, 02, ...; the first one of a message is its local transaction.

    mode: saga, concurrent, tcc or msg. quirk: "", dies (the client never says how it ends), fickle (it aborts what it
    submitted) or faulty (a request that cannot be accepted).
    """

    gid: str
    mode: str
    legs: tuple[Leg, ...]
    wait: bool = False
    quirk: str = ""

    @property
    def branch_ids(self) -> list[str]:
        """Branch id of each leg."""
        first = 0 if self.mode == "msg" else 1
        return [f"{number:02d}" for number in range(first, first + len(self.legs))]


@dataclass(frozen=True)
class Event:
    """A client's: `kind` is invoke, ok (200), fail (certainly not accepted, or a conflict) or info (unknown)."""

    kind: str
    gid: str
    verb: str
    node: str
    status: int = 0
    reply: Any = None


def kind_of(status: int) -> str:
    """What an answer tells its client: 425 and 409 speak of what is stored, 429 and 503 of what certainly is not."""
    if status == 200:
        return "ok"
    return "fail" if status < 500 or status == 503 else "info"


@dataclass(frozen=True)
class Served:
    """A call as a bank saw it: two readings of the clock that all banks share, and the status it answered."""

    bank: str
    gid: str
    branch_id: str
    op: str
    epoch: int
    began: int
    ended: int
    status: int


@dataclass(frozen=True)
class Entry:
    """An effect: what a call changed."""

    bank: str
    gid: str
    branch_id: str
    op: str
    account: str
    balance: int
    frozen: int


@dataclass(frozen=True)
class BarrierRow:
    """`reason` is another op than `op` when that op was barred."""

    bank: str
    gid: str
    branch_id: str
    op: str
    reason: str


@dataclass(frozen=True)
class Account:
    """How an account stands."""

    bank: str
    name: str
    balance: int
    frozen: int


@dataclass(frozen=True)
class Row:
    """A transaction's row in the end. `request` is its document as it is stored."""

    gid: str
    status: str
    owner: str
    request: dict[str, Any]

    @property
    def branches(self) -> list[tuple[str, str]]:
        """(branch_id, op) in their order. An op that stood there before is stored as its number."""
        stored = [(branch[0], branch[1]) for branch in self.request.get("branches", ())]
        ops = [op for _, op in stored if isinstance(op, str)]
        return [(branch_id, ops[op] if isinstance(op, int) else op) for branch_id, op in stored]


@dataclass(frozen=True)
class Change:
    """One change of a row, as a trigger saw it; `before` is "" and `expected` 0 when the row was made.

    claimed_doubt: the mark of doubt that a claim found, in the change that claims. ending: when it finished, the reason
    and the result.
    """

    gid: str
    before: str
    after: str
    expected: int
    version: int
    owner_before: str
    owner: str
    claimed_doubt: bool
    ending: tuple[int | None, str, str]
    standings: list[dict[str, Any]]
    """How the branches stand after it, in the order of the row's `branches`; none: as they were made."""

    @property
    def taken_over(self) -> bool:
        """Whether somebody else had it, and did not give it up."""
        return bool(self.owner_before and self.owner and self.owner != self.owner_before)


@dataclass
class History:
    """One run. `opening`: (bank, account) -> balance before it."""

    banks: list[str]
    opening: dict[tuple[str, str], int]
    transfers: dict[str, Transfer] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    served: list[Served] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    barrier: list[BarrierRow] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    rows: dict[str, Row] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    nemesis: list[str] = field(default_factory=list)

    @cached_property
    def of(self) -> dict[str, list[Served]]:
        """The calls of each transaction that its coordinators made, in the order in which they began."""
        return _by_gid(sorted((call for call in self.served if call.epoch), key=lambda call: call.began))

    @cached_property
    def story(self) -> dict[str, list[Change]]:
        """The changes of each row, in order."""
        return _by_gid(self.changes)

    @cached_property
    def effects(self) -> dict[str, list[Entry]]:
        """The effects of each transaction."""
        return _by_gid(self.entries)

    def status(self, gid: str) -> str:
        """How it ended; "" when it is not there."""
        return self.rows[gid].status if gid in self.rows else ""

    def take_overs(self, gid: str) -> list[Change]:
        """When somebody took it from an owner that had not given it up."""
        return [change for change in self.story.get(gid, ()) if change.taken_over]


def _by_gid(items: Iterable[Any]) -> dict[str, list[Any]]:
    groups: defaultdict[str, list[Any]] = defaultdict(list)
    for item in items:
        groups[item.gid].append(item)
    return dict(groups)


class Recorder:
    """Where the clients of a run write down what they asked and heard."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.nemesis: list[str] = []
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def event(self, *what: Any) -> None:
        """A client's."""
        with self._lock:
            self.events.append(Event(*what))

    def befell(self, what: str) -> None:
        """The nemesis's."""
        with self._lock:
            self.nemesis.append(f"{time.monotonic() - self._began:6.1f} s  {what}")


AUDIT = (
    "CREATE SEQUENCE audit_order",
    """CREATE TABLE audit (
        number BIGINT PRIMARY KEY, gid VARBINARY(512), status_before INT, status INT, expected BIGINT, version BIGINT,
        owner_before VARCHAR(128), owner VARCHAR(128), doubt INT, finished BIGINT,
        state LONGTEXT) CHARACTER SET utf8mb4""",
    f"""CREATE TRIGGER audit_made AFTER INSERT ON dtm_transaction FOR EACH ROW INSERT INTO audit VALUES (
        NEXT VALUE FOR audit_order, NEW.gid, 0, NEW.status, 0, NEW.version, '', NEW.owner, 0,
        NULLIF(NEW.finished_at, {NEVER}), NEW.state)""",
    f"""CREATE TRIGGER audit_changed AFTER UPDATE ON dtm_transaction FOR EACH ROW
        IF (OLD.status, OLD.version, OLD.owner, OLD.doubt, OLD.state, OLD.request)
            <> (NEW.status, NEW.version, NEW.owner, NEW.doubt, NEW.state, NEW.request) THEN
            INSERT INTO audit VALUES (
                NEXT VALUE FOR audit_order, NEW.gid, OLD.status, NEW.status, OLD.version, NEW.version,
                OLD.owner, NEW.owner, NEW.doubt, NULLIF(NEW.finished_at, {NEVER}), NEW.state);
        END IF""",
)
"""An audit trail in the database. A sequence and not AUTO_INCREMENT, for the product uses LAST_INSERT_ID."""


def read_rows(query: Query) -> dict[str, Row]:
    """The rows of a database."""
    rows = query("SELECT gid, status, owner, request FROM dtm_transaction")
    return {
        gid.decode(): Row(gid.decode(), STATUSES[status], owner, json.loads(request))
        for gid, status, owner, request in rows
    }


def read_changes(query: Query) -> list[Change]:
    """The audit trail of a database."""
    columns = "gid, status_before, status, expected, version, owner_before, owner, doubt, finished, state"
    return [_change(*row) for row in query(f"SELECT {columns} FROM audit ORDER BY number")]


def _change(gid, before, after, expected, version, owner_before, owner, doubt, finished, state) -> Change:
    document = json.loads(state)
    return Change(
        gid=gid.decode(),
        before=STATUSES.get(before, ""),
        after=STATUSES[after],
        expected=expected,
        version=version,
        owner_before=owner_before,
        owner=owner,
        claimed_doubt=owner != owner_before and bool(doubt & 2),
        ending=(finished, document.get("reason", ""), document.get("result", "")),
        standings=[_standing(each) for each in document.get("branches", [])],
    )


def _standing(stored: Any) -> dict[str, Any]:
    """How a branch stands; one that succeeded with its first call is stored as two numbers, an untouched one as 0."""
    return {"status": "succeed", "started": 1} if isinstance(stored, list) else stored or {}
