"""A participant with many accounts, which keeps the rules that participants must keep, and writes all down.

What a coordinator must never do goes to `faults`: it can only be seen here, where the books are.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from dtm.demo.ledger import EFFECTS, MAY_REFUSE, Barrier, Call, Refused
from tests.support.history import (
    Account,
    BarrierRow,
    Entry,
    History,
    Query,
    Recorder,
    Served,
    Transfer,
    read_changes,
    read_rows,
)
from tests.support.participants import ERROR, OK, ONGOING, Participants, Reply, Seen, failure

BOOKS = """
CREATE TABLE account (
    name TEXT PRIMARY KEY, balance INTEGER CHECK (balance >= 0), frozen INTEGER CHECK (frozen BETWEEN 0 AND balance),
    closed INTEGER
);
CREATE TABLE entry (gid TEXT, branch_id TEXT, op TEXT, account TEXT, balance INTEGER, frozen INTEGER);
"""

CLOSED = "closed"
"""An account whose name begins so takes part in nothing that may be refused."""

LOCAL = "local"
"""The path of a message's local transaction (POST), and of the question how it ended (GET)."""

CONTRARY = {"confirm": "cancel", "cancel": "confirm"}


class Books(Barrier):
    """The accounts of one bank. sqlite3.IntegrityError when one would be overdrawn by what may not be refused."""

    def __init__(self, path: Path, accounts: Mapping[str, int]) -> None:
        super().__init__(path)
        self._db.execute("PRAGMA synchronous = OFF")  # nobody kills this process
        self._db.executescript(BOOKS)
        rows = [(name, balance, 0, name.startswith(CLOSED)) for name, balance in accounts.items()]
        self._db.executemany("INSERT INTO account VALUES (?, ?, ?, ?)", rows)

    def move(self, call: Call, account: str, change: int) -> bool:
        """What the call's op does with `change`; False when the barrier stood before it. Refused."""
        with self._transaction():
            if not self._passes(call):
                return False
            moves, freezes = EFFECTS[call.op]
            entry = (moves * change, freezes * max(-change, 0))
            if call.op in MAY_REFUSE:
                self._check(account, change)
            self._db.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)", (*_key(call), account, *entry))
            update = "UPDATE account SET balance = balance + ?, frozen = frozen + ? WHERE name = ?"
            self._db.execute(update, (*entry, account))
            return True

    def happened(self, call: Call) -> bool:
        """Whether the barrier let this call through before."""
        row = self._db.execute("SELECT reason FROM barrier WHERE (gid, branch_id, op) = (?, ?, ?)", _key(call))
        return row.fetchone() == (call.op,)

    def _check(self, account: str, change: int) -> None:
        query = "SELECT balance - frozen, closed FROM account WHERE name = ?"
        available, closed = self._db.execute(query, (account,)).fetchone()
        if closed:
            raise Refused("the account is closed")
        if available + change < 0:
            raise Refused("insufficient balance")


class Desk(Participants):
    """Where the calls of one bank arrive; it writes each of them down.

    Payload of every call: {"account": name, "amount": what is added to it}.
    ticks: a counter that all banks of a run share, so that what happens at several has an order.
    moody: how often (0 to 1) it answers ONGOING before doing anything, and as often an error after having done it.
    slow: seconds that a reply takes at most; the books are written when the call arrives.
    """

    def __init__(
        self,
        name: str,
        accounts: Mapping[str, int],
        *,
        ticks: Iterator[int],
        rng: random.Random | None = None,
        moody: float = 0.0,
        slow: float = 0.0,
    ) -> None:
        self.name = name
        self.opening = dict(accounts)
        self.served: list[Served] = []
        self.faults: list[str] = []
        self._ticks = ticks
        self._rng = rng or random.Random()
        self._moody = moody
        self._slow = slow
        super().__init__()

    def begin(self) -> None:
        """Start what stands behind the desk."""

    async def serve(self, seen: Seen) -> Reply:
        """Answer it, write it down, and reply after a while."""
        began = next(self._ticks)
        reply = await self._in_a_mood(seen)
        await asyncio.sleep(self._rng.random() * self._slow)
        epoch = int(seen.headers.get("dtm-epoch", 0))
        call = Served(self.name, seen.gid, seen.branch_id, seen.op, epoch, began, next(self._ticks), reply[0])
        with self._lock:
            self.served.append(call)
        return reply

    async def _in_a_mood(self, seen: Seen) -> Reply:
        mood = self._rng.random() if self._moody and seen.path != LOCAL else 1.0
        if mood < self._moody:
            return ONGOING
        reply = await self.carry_out(seen)
        return ERROR if mood < 2 * self._moody and reply[0] == 200 else reply

    @abstractmethod
    async def carry_out(self, seen: Seen) -> Reply:
        """Do what a call asks for."""

    # What a checker reads, from any thread

    def accounts(self) -> list[Account]:
        """How every account stands."""
        return [Account(self.name, *row) for row in self.rows("SELECT name, balance, frozen FROM account")]

    def entries(self) -> list[Entry]:
        """Every effect."""
        query = "SELECT gid, branch_id, op, account, balance, frozen FROM entry"
        return [Entry(self.name, *row) for row in self.rows(query)]

    def barrier(self) -> list[BarrierRow]:
        """What the barrier knows."""
        return [BarrierRow(self.name, *row) for row in self.rows("SELECT gid, branch_id, op, reason FROM barrier")]

    @abstractmethod
    def rows(self, query: str) -> list[tuple]:
        """What the bank's database has."""


class Bank(Desk):
    """A bank in this process, with its books in SQLite."""

    def __init__(self, name: str, path: Path, accounts: Mapping[str, int], **habits: Any) -> None:
        self.path = path
        super().__init__(name, accounts, **habits)
        self.books = self._served.run(lambda: Books(self.path, self.opening))  # of that thread, which alone writes them

    def close(self) -> None:
        """Close the books, and the bank."""
        self._served.run(self.books.close)
        super().close()

    async def carry_out(self, seen: Seen) -> Reply:
        """The books are written before anything else is looked at: one call after the other."""
        if seen.method == "GET":
            return OK if self.books.committed(seen.gid) else failure("it was not committed")
        call = Call(seen.gid, seen.branch_id, seen.op)
        try:
            order = json.loads(seen.body)
            self._suspect(call)
            passed = self.books.move(call, order["account"], order["amount"])
        except Refused as refusal:
            return failure(str(refusal))
        except (sqlite3.Error, ValueError, LookupError) as error:
            self.faults.append(f"{self.name}: {call}: {error!r}")
            return ERROR
        if seen.path == LOCAL and not passed:
            return failure("too late")  # the coordinator asked, and was told that it did not happen
        return OK

    def _suspect(self, call: Call) -> None:
        """A confirm and a cancel of one branch never both come, and a confirm only after its try."""
        contrary = CONTRARY.get(call.op)
        if contrary and self.books.happened(Call(call.gid, call.branch_id, contrary)):
            self.faults.append(f"{self.name}: {call} although there was a {contrary}")
        if call.op == "confirm" and not self.books.happened(Call(call.gid, call.branch_id, "try")):
            self.faults.append(f"{self.name}: {call} without a try")

    def rows(self, query: str) -> list[tuple]:
        """What the books have."""
        with closing(sqlite3.connect(self.path)) as db:
            return db.execute(query).fetchall()


def _key(call: Call) -> tuple[str, str, str]:
    return call.gid, call.branch_id, call.op


def written_down(
    banks: Sequence[Desk], recorder: Recorder, transfers: Iterable[Transfer], databases: Sequence[Query]
) -> History:
    """The history of a run, when all is quiet: from the banks, the clients and the coordinators' databases."""
    return History(
        banks=[bank.name for bank in banks],
        opening={(bank.name, name): balance for bank in banks for name, balance in bank.opening.items()},
        transfers={transfer.gid: transfer for transfer in transfers},
        events=recorder.events,
        served=[call for bank in banks for call in bank.served],
        entries=[entry for bank in banks for entry in bank.entries()],
        barrier=[row for bank in banks for row in bank.barrier()],
        accounts=[account for bank in banks for account in bank.accounts()],
        faults=[fault for bank in banks for fault in bank.faults],
        rows={gid: row for query in databases for gid, row in read_rows(query).items()},
        changes=[change for query in databases for change in read_changes(query)],
        nemesis=recorder.nemesis,
    )
