"""A bank with its books in MariaDB behind the barrier of PyPI's `dtmcli`: a participant as its users write it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pymysql
from dtmcli import barrier, tcc, utils

from dtm.demo.ledger import EFFECTS, MAY_REFUSE
from tests.support.mariadb import MariaDB
from tests.support.participants import ERROR, OK, Participants, Reply, Seen, failure

BARRIER = """
CREATE TABLE IF NOT EXISTS dtm_barrier.barrier (
    id BIGINT PRIMARY KEY AUTO_INCREMENT,
    trans_type VARCHAR(45) DEFAULT '', gid VARCHAR(128) DEFAULT '', branch_id VARCHAR(128) DEFAULT '',
    op VARCHAR(45) DEFAULT '', barrier_id VARCHAR(45) DEFAULT '', reason VARCHAR(45) DEFAULT '',
    create_time DATETIME DEFAULT now(), update_time DATETIME DEFAULT now(),
    UNIQUE KEY (gid, branch_id, op, barrier_id)
)
"""

Order = dict[str, Any]
"""{"account": name, "amount": what the action adds to it}."""


def make_barrier(server: MariaDB) -> None:
    """Make the barrier's table, where `dtmcli` looks for it."""
    server.run("CREATE DATABASE IF NOT EXISTS dtm_barrier")
    server.run(BARRIER)


class Bank(Participants):
    """Urls: `Move` for each op of a saga, msg or tcc; `Nested`, a tcc inside a tcc; `Committed`, the check-back.

    `coordinator`: the API of the server that it registers the branches of nested transactions at.
    """

    def __init__(self, server: MariaDB, database: str, coordinator: str) -> None:
        self.server = server
        self.database = database
        self.coordinator = coordinator
        self.lost_replies: list[str] = []
        """Ops whose next call is carried out, and answered 500."""
        server.run(f"CREATE DATABASE `{database}`")
        columns = "name VARCHAR(20) PRIMARY KEY, balance INT, frozen INT"
        server.run(f"CREATE TABLE account ({columns})", database=database)
        server.run("INSERT INTO account VALUES ('a', 100, 0), ('b', 100, 0)", database=database)
        super().__init__()

    def cursor(self) -> barrier.AutoCursor:
        """A cursor in a transaction of its own, in a `with`; its connection is closed after it."""
        connection = pymysql.connect(host="127.0.0.1", port=self.server.port, user="root", database=self.database)
        return barrier.AutoCursor(connection.cursor())

    def balances(self) -> dict[str, tuple[int, int]]:
        """account -> (balance, how much of it is frozen)."""
        rows = self.server.run("SELECT name, balance, frozen FROM account", database=self.database)
        return {name: (balance, frozen) for name, balance, frozen in rows}

    def barrier_rows(self, gid: str) -> list[tuple[str, str, str]]:
        """What the barrier wrote: (branch_id, op, reason) of each row, in order."""
        key = "CONVERT(branch_id USING utf8mb4), CONVERT(op USING utf8mb4)"  # bytes in a table of dtm.client's making
        rows = f"SELECT {key}, reason FROM dtm_barrier.barrier WHERE gid = %s ORDER BY id"
        return list(self.server.run(rows, (gid,)))

    def business(self, op: str, order: Order) -> Callable[[Any], None]:
        """What the barrier is to guard: the effect of one op, or `DTMFailureError`."""

        def move(cursor: Any) -> None:
            moves, freezes = EFFECTS[op]
            change = (moves * order["amount"], freezes * max(-order["amount"], 0), order["account"])
            cursor.execute("UPDATE account SET balance = balance + %s, frozen = frozen + %s WHERE name = %s", change)
            covered = "SELECT 1 FROM account WHERE name = %s AND frozen <= balance"
            if op in MAY_REFUSE and not cursor.execute(covered, (order["account"],)):
                raise utils.DTMFailureError("insufficient balance")

        return move

    async def serve(self, seen: Seen) -> Reply:
        """Write the call down and answer it; the drivers of the SDK block."""
        with self._lock:
            self.calls.append(seen)
        reply = await asyncio.to_thread(self._answer, seen)
        if seen.op in self.lost_replies:
            self.lost_replies.remove(seen.op)
            return ERROR
        return reply

    def _answer(self, seen: Seen) -> Reply:
        handlers = {"Move": self._move, "Nested": self._nested, "Committed": self._committed}
        try:
            handlers[seen.path](seen)
        except utils.DTMFailureError as refusal:
            return failure(str(refusal))
        return OK

    def _move(self, seen: Seen) -> None:
        with self.cursor() as cursor:
            guard = barrier.BranchBarrier(seen.trans_type, seen.gid, seen.branch_id, seen.op)
            guard.call(cursor, self.business(seen.op, json.loads(seen.body)))

    def _nested(self, seen: Seen) -> None:
        if seen.op == "try":
            inner = tcc.tcc_from_req(self.coordinator, seen.gid, seen.branch_id)
            inner.call_branch(json.loads(seen.body), *[self.url("Move")] * 3)

    def _committed(self, seen: Seen) -> None:
        with self.cursor() as cursor:
            guard = barrier.BranchBarrier(seen.trans_type, seen.gid, seen.branch_id, seen.op)
            guard.query_prepared(cursor)
