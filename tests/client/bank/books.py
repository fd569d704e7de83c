"""The books of one bank, in SQL that MariaDB, PostgreSQL and SQLite all understand."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pymysql
from pymysql.constants.CLIENT import FOUND_ROWS

from dtm.client import Failure
from dtm.client.barrier import Barrier, create_table
from dtm.demo.ledger import EFFECTS, MAY_REFUSE
from tests.support.bank import CLOSED

TABLE = "barrier"
TABLES = (
    """CREATE TABLE account (
        name VARCHAR(40) PRIMARY KEY, balance INTEGER, frozen INTEGER, closed INTEGER,
        CHECK (balance >= 0), CHECK (frozen BETWEEN 0 AND balance))""",
    """CREATE TABLE entry (
        gid VARCHAR(128), branch_id VARCHAR(128), op VARCHAR(45), account VARCHAR(40),
        balance INTEGER, frozen INTEGER)""",
)
Statement = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Books:
    """They stand in the database of this url; `mark` is a placeholder there."""

    url: str

    @property
    def mark(self) -> str:
        return "?" if self.url.startswith("sqlite") else "%s"

    def connect(self) -> Any:
        """A connection that blocks. MariaDB's counts the rows that an UPDATE found, changed or not."""
        parts = urlsplit(self.url)
        match parts.scheme:
            case "sqlite":
                return sqlite3.connect(parts.path, timeout=30)
            case "postgresql":
                return psycopg.connect(self.url)
        return pymysql.connect(
            host=parts.hostname, port=parts.port, user="root", database=parts.path[1:],
            ssl_disabled=True, client_flag=FOUND_ROWS,
        )  # fmt: skip

    def create(self, accounts: Mapping[str, int]) -> None:
        """Make the tables, and open the accounts."""
        with closing(self.connect()) as connection:
            create_table(connection, table=TABLE)
            cursor = connection.cursor()
            for table in TABLES:
                cursor.execute(table)
            rows = [(name, balance, 0, int(name.startswith(CLOSED))) for name, balance in accounts.items()]
            cursor.executemany(f"INSERT INTO account VALUES ({', '.join([self.mark] * 4)})", rows)
            connection.commit()

    def rows(self, query: str) -> list[tuple]:
        """What the database has; MariaDB's binary columns as text."""
        with closing(self.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(query)
            return [tuple(_text(value) for value in row) for row in cursor.fetchall()]

    def move(self, connection: Any, barrier: Barrier, order: Mapping[str, Any]) -> None:
        """Do what a call asks for. Failure: the business says no."""
        cursor = connection.cursor()
        for statement, values in self.statements(barrier, order):
            cursor.execute(statement, values)
            expect(cursor.rowcount == 1, barrier)

    def statements(self, barrier: Barrier, order: Mapping[str, Any]) -> list[Statement]:
        """What a call does; each statement has to change one row."""
        call, account, change = barrier.identity, order["account"], order["amount"]
        moves, freezes = EFFECTS[call.op]
        entry = (moves * change, freezes * max(-change, 0))
        update = "UPDATE account SET balance = balance + ?, frozen = frozen + ? WHERE name = ?"
        values: tuple[Any, ...] = (*entry, account)
        if call.op in MAY_REFUSE:
            update, values = f"{update} AND closed = 0 AND balance - frozen + ? >= 0", (*values, change)
        insert = "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)"
        both = ((update, values), (insert, (call.gid, call.branch_id, call.op, account, *entry)))
        return [(statement.replace("?", self.mark), values) for statement, values in both]


def expect(changed: bool, barrier: Barrier) -> None:
    """A statement changed its row. Failure: it did not, and the call may refuse; AssertionError: it may not."""
    if not changed:
        assert barrier.identity.op in MAY_REFUSE, f"{barrier.identity} had no effect"
        raise Failure("the account is closed, or has not enough")


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
