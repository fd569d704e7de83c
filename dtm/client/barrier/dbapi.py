"""Links to connections that block: PyMySQL, mysqlclient, psycopg 3, sqlite3."""

from __future__ import annotations

from abc import abstractmethod
from importlib import import_module
from typing import Any

from dtm.client.barrier.links import Link, Rows, Values, refuse_open

IN_TRANSACTION = 1
"""MySQL's SERVER_STATUS_IN_TRANS."""

OPEN_ALREADY = 1568
"""MySQL's ER_CANT_CHANGE_TX_CHARACTERISTICS."""

IDLE = 0
"""PostgreSQL's PQTRANS_IDLE."""


def plain_cursor(connection: Any) -> Any:
    """The class of a MySQL driver's cursors that give tuples, whatever the connection's own give."""
    module = next(each.__module__ for each in type(connection).__mro__ if each.__name__ == "Connection")
    return import_module(f"{module.partition('.')[0]}.cursors").Cursor


class _DbApi(Link):
    """What all of them have: cursors."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, sql: str, values: Values) -> int:
        cursor = self._cursor()
        try:
            cursor.execute(sql, values)
            return int(cursor.rowcount)
        finally:
            cursor.close()

    def fetch(self, sql: str, values: Values) -> Rows:
        cursor = self._cursor()
        try:
            cursor.execute(sql, values)
            rows: Rows = cursor.fetchall()
            return rows
        finally:
            cursor.close()

    def commit(self) -> None:
        self._connection.commit()

    def rollback(self) -> None:
        self._connection.rollback()

    @abstractmethod
    def _cursor(self) -> Any:
        """A cursor whose rows are tuples."""


class MySQL(_DbApi):
    """PyMySQL. BEGIN would commit an open transaction in silence, so we look first."""

    dialect, style = "mysql", "format"

    def begin(self) -> None:
        refuse_open(self._is_open())
        self._connection.begin()

    def _is_open(self) -> bool:
        return bool(self._connection.server_status & IN_TRANSACTION)

    def _cursor(self) -> Any:
        return self._connection.cursor(plain_cursor(self._connection))


class MySQLdb(MySQL):
    """mysqlclient, which does not show the server's status: a statement that an open transaction refuses tells."""

    def _is_open(self) -> bool:
        try:
            self._connection.query("SET TRANSACTION READ WRITE")
        except Exception as error:
            if error.args[:1] == (OPEN_ALREADY,):
                return True
            raise
        return False


class SQLite(_DbApi):
    """sqlite3. IMMEDIATE: who has read before it writes cannot wait for another writer.

    With `autocommit=False` (Python 3.12) a transaction is open at any time, and what it holds cannot be told: it is
    taken as it is.
    """

    dialect, style = "sqlite", "qmark"

    def begin(self) -> None:
        if self._begins_itself():
            return
        refuse_open(self._connection.in_transaction)
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        if self._begins_itself():
            self._connection.commit()
        else:  # with autocommit=True commit() does nothing
            self._connection.execute("COMMIT")

    def rollback(self) -> None:
        if self._begins_itself():
            self._connection.rollback()
        elif self._connection.in_transaction:  # some errors have rolled it back already
            self._connection.execute("ROLLBACK")

    def _begins_itself(self) -> bool:
        return getattr(self._connection, "autocommit", None) is False

    def _cursor(self) -> Any:
        cursor = self._connection.cursor()
        cursor.row_factory = None
        return cursor


class Psycopg(_DbApi):
    """psycopg 3, by its own transaction block: in there it refuses that the business commits."""

    dialect, style = "postgresql", "format"
    _block: Any = None

    def begin(self) -> None:
        refuse_open(self._connection.info.transaction_status != IDLE)
        block = self._connection.transaction()
        block.__enter__()
        self._block = block

    def commit(self) -> None:
        block, self._block = self._block, None
        block.__exit__(None, None, None)

    def rollback(self) -> None:
        if self._block is None:  # the commit has failed, and that has ended the block
            self._connection.rollback()
        else:
            error = RuntimeError("rolled back")
            self._block.__exit__(type(error), error, None)

    def _cursor(self) -> Any:
        return self._connection.cursor(row_factory=import_module("psycopg.rows").tuple_row)
