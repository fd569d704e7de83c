"""Participants that keep books of their own, by the rules that participants must keep: each effect at most once."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass

from tests.support.participants import ERROR, OK, ONGOING, Participants, Reply, Seen, failure

CLOSED = "closed"
"""An account whose name begins so takes no money: whoever pays in there is refused."""


@dataclass(frozen=True)
class Entry:
    """One line of the book. `amount` 0: noted only, nothing was moved (a compensation that met no action)."""

    gid: str
    branch_id: str
    op: str
    account: str
    amount: int


class Ledger(Participants):
    """A bank. Payload: {"account": name, "amount": what the action adds to it}; any path, ops action and compensate.

    moody: how often (0 to 1) it answers ONGOING before doing anything, and as often an error after having done it.
    slow: seconds that a reply takes at most; the book is written when the call arrives.
    """

    def __init__(self, rng: random.Random | None = None, moody: float = 0.0, slow: float = 0.0) -> None:
        self.book: dict[tuple[str, str, str], Entry] = {}
        self.balances: Counter[str] = Counter()
        self.faults: list[str] = []
        """What a coordinator must never do, if it did."""
        self._rng = rng or random.Random()
        self._moody = moody
        self._slow = slow
        super().__init__()

    def effects(self, gid: str) -> list[tuple[str, str, int]]:
        """(branch_id, op, amount) of one transaction's lines, in the order they were written."""
        with self._lock:
            return [(e.branch_id, e.op, e.amount) for e in self.book.values() if e.gid == gid]

    async def serve(self, seen: Seen) -> Reply:
        """Write the call down, then the book."""
        with self._lock:
            self.calls.append(seen)
            reply = self._answer(seen)
        await asyncio.sleep(self._rng.random() * self._slow)
        return reply

    def _answer(self, seen: Seen) -> Reply:
        mood = self._rng.random() if self._moody else 1.0
        if mood < self._moody:
            return ONGOING
        reply = self._act(seen) if seen.op == "action" else self._compensate(seen)
        return ERROR if mood < 2 * self._moody else reply

    def _act(self, seen: Seen) -> Reply:
        order = json.loads(seen.body)
        if (seen.gid, seen.branch_id, "compensate") in self.book:
            self.faults.append(f"action after its compensation: {seen.gid} {seen}")
            return OK
        if order["amount"] > 0 and order["account"].startswith(CLOSED):
            return failure(f"account {order['account']} is closed")
        self._write(seen, order["account"], order["amount"])
        return OK

    def _compensate(self, seen: Seen) -> Reply:
        done = self.book.get((seen.gid, seen.branch_id, "action"))
        self._write(seen, json.loads(seen.body)["account"], -done.amount if done else 0)
        return OK

    def _write(self, seen: Seen, account: str, amount: int) -> None:
        key = (seen.gid, seen.branch_id, seen.op)
        if key not in self.book:
            self.book[key] = Entry(*key, account, amount)
            self.balances[account] += amount
