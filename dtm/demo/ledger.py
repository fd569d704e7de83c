"""A bank's books in SQLite, and the barrier that makes every call safe to receive.

A coordinator promises that a call arrives, not that it arrives once or in order: it may come twice, an undo may come
although the thing to be undone never did, and that thing may come after its undo. The barrier is one table with the
key (gid, branch_id, op). Its rows are written in the same local transaction as the effect, so that a call has its
effect at most once, an undo without its original has none, and an original that comes after its undo has none.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BARRIER = """
CREATE TABLE IF NOT EXISTS barrier (
    gid TEXT, branch_id TEXT, op TEXT,
    reason TEXT,  -- the op that wrote this row; another one than `op` if that op is barred from happening
    PRIMARY KEY (gid, branch_id, op)
)
"""

ENTRIES = "CREATE TABLE IF NOT EXISTS entry (gid TEXT, branch_id TEXT, op TEXT, balance INTEGER, frozen INTEGER)"

UNDOES = {"compensate": "action", "cancel": "try"}

EFFECTS = {
    "action": (1, 0),  # saga and message: the money moves
    "compensate": (-1, 0),  # saga: it moves back
    "try": (0, 1),  # tcc: what is to leave is frozen
    "confirm": (1, -1),  # tcc: the money moves, nothing is frozen any more
    "cancel": (0, -1),  # tcc: nothing is frozen any more
    "msg": (1, 0),  # message: the sender's own local transaction
}
"""op -> how often it applies a change to (the balance, the frozen part)."""

MAY_REFUSE = frozenset({"action", "try", "msg"})
"""What comes later must not refuse: a compensation, confirm or cancel is called until it succeeds."""


class Refused(Exception):
    """A business refusal: nothing of the call was kept."""


@dataclass(frozen=True, slots=True)
class Call:
    """What identifies a call of the coordinator: these three arrive in the query of each."""

    gid: str
    branch_id: str
    op: str


class Barrier:
    """A local database with a barrier; what a participant keeps in it is written in the barrier's transactions."""

    def __init__(self, path: Path | str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute(BARRIER)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def committed(self, gid: str) -> bool:
        """Whether the local transaction of a message took place; if it has not, it cannot any more."""
        call = Call(gid, "00", "msg")
        with self._transaction():
            return not self._mark(call, call.op, "rollback") and self._reason(call) == call.op

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _passes(self, call: Call) -> bool:
        """Whether this call is to have its effect; marks it, and what it undoes, as dealt with."""
        origin = UNDOES.get(call.op)
        nothing_to_undo = origin is not None and self._mark(call, origin, call.op)
        first_time = self._mark(call, call.op, call.op)
        return first_time and not nothing_to_undo

    def _mark(self, call: Call, op: str, reason: str) -> bool:
        """Write a row of the barrier; False when it is there already."""
        row = (call.gid, call.branch_id, op, reason)
        return self._db.execute("INSERT OR IGNORE INTO barrier VALUES (?, ?, ?, ?)", row).rowcount == 1

    def _reason(self, call: Call) -> str:
        key = (call.gid, call.branch_id, call.op)
        row = self._db.execute("SELECT reason FROM barrier WHERE (gid, branch_id, op) = (?, ?, ?)", key).fetchone()
        return str(row[0])


class Ledger(Barrier):
    """One account and its entries. Not `accepting`: whatever may refuse is refused."""

    def __init__(self, path: Path | str, balance: int, *, accepting: bool = True) -> None:
        super().__init__(path)
        self.accepting = accepting
        self._db.execute(ENTRIES)
        with self._transaction():
            self._enter(Call("", "", "opening"), balance, 0)

    def apply(self, call: Call, change: int) -> bool:
        """Add `change` (negative: money leaves) as the call's op says; False when the barrier stood before it.

        Raises Refused. The barrier's rows and the effect are one local transaction.
        """
        with self._transaction():
            if not self._passes(call):
                return False
            moves, freezes = EFFECTS[call.op]
            self._enter(call, moves * change, freezes * max(-change, 0))
            if call.op in MAY_REFUSE:
                self._check()
            return True

    def balance(self) -> tuple[int, int]:
        """The balance, and how much of it is frozen."""
        total: tuple[int, int] = self._db.execute("SELECT sum(balance), sum(frozen) FROM entry").fetchone()
        return total

    def entries(self, gid: str) -> list[tuple[str, str, int, int]]:
        """The effects of one transaction, in order: (branch_id, op, change of balance, change of the frozen part)."""
        rows = "SELECT branch_id, op, balance, frozen FROM entry WHERE gid = ? ORDER BY rowid"
        return self._db.execute(rows, (gid,)).fetchall()

    def _enter(self, call: Call, balance: int, frozen: int) -> None:
        row = (call.gid, call.branch_id, call.op, balance, frozen)
        self._db.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?)", row)

    def _check(self) -> None:
        balance, frozen = self.balance()
        if not self.accepting:
            raise Refused("the account is closed")
        if frozen > balance:
            raise Refused("insufficient balance")
