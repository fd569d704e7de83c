"""What the barrier asks of a connection, whatever its kind, and which kind a connection is.

No driver is imported here, or by whoever has none: a connection is known by the names of its classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar

from dtm.client.barrier.sql import Sql

Values = Sequence[Any]
Rows = Sequence[Sequence[Any]]


class Link(ABC):
    """A connection that blocks. A begun transaction is one whatever the connection's autocommit setting is.

    dialect, style: of its SQL and its placeholders (keys of `sql.FILES` and `sql.MARKS`).
    """

    dialect: str
    style: ClassVar[str]

    @abstractmethod
    def begin(self) -> None:
        """Begin a transaction. RuntimeError, and nothing is done: one is open already."""

    @abstractmethod
    def execute(self, sql: str, values: Values) -> int:
        """Run a statement that changes something; how many rows were affected."""

    @abstractmethod
    def fetch(self, sql: str, values: Values) -> Rows:
        """Run a query; its rows."""

    @abstractmethod
    def commit(self) -> None:
        """Commit it."""

    @abstractmethod
    def rollback(self) -> None:
        """Roll it back, also after a commit that failed."""


class AsyncLink(ABC):
    """A Link whose methods are coroutines."""

    dialect: str
    style: ClassVar[str]

    @abstractmethod
    async def begin(self) -> None:
        """Begin a transaction. RuntimeError, and nothing is done: one is open already."""

    @abstractmethod
    async def execute(self, sql: str, values: Values) -> int:
        """Run a statement that changes something; how many rows were affected."""

    @abstractmethod
    async def fetch(self, sql: str, values: Values) -> Rows:
        """Run a query; its rows."""

    @abstractmethod
    async def commit(self) -> None:
        """Commit it."""

    @abstractmethod
    async def rollback(self) -> None:
        """Roll it back, also after a commit that failed."""


AnyLink = Link | AsyncLink

_DBAPI, _ASYNC, _ALCHEMY = (f"dtm.client.barrier.{name}" for name in ("dbapi", "dbaio", "alchemy"))

KINDS = {
    ("pymysql", "Connection"): (_DBAPI, "MySQL"),
    ("MySQLdb", "Connection"): (_DBAPI, "MySQLdb"),
    ("psycopg", "Connection"): (_DBAPI, "Psycopg"),
    ("sqlite3", "Connection"): (_DBAPI, "SQLite"),
    ("aiomysql", "Connection"): (_ASYNC, "AioMySQL"),
    ("asyncmy", "Connection"): (_ASYNC, "AsyncMySQL"),
    ("psycopg", "AsyncConnection"): (_ASYNC, "AsyncPsycopg"),
    ("asyncpg", "Connection"): (_ASYNC, "Asyncpg"),
    ("asyncpg", "PoolConnectionProxy"): (_ASYNC, "Asyncpg"),
    ("aiosqlite", "Connection"): (_ASYNC, "AsyncSQLite"),
    ("sqlalchemy", "Connection"): (_ALCHEMY, "OfConnection"),
    ("sqlalchemy", "Session"): (_ALCHEMY, "OfSession"),
    ("sqlalchemy", "scoped_session"): (_ALCHEMY, "OfScopedSession"),
    ("sqlalchemy", "AsyncConnection"): (_ALCHEMY, "OfAsyncConnection"),
    ("sqlalchemy", "AsyncSession"): (_ALCHEMY, "OfAsyncSession"),
    ("sqlalchemy", "async_scoped_session"): (_ALCHEMY, "OfAsyncScopedSession"),
}
"""(package, class) of a connection -> (module, class) of its link."""

SUPPORTED = (
    "PyMySQL, mysqlclient, psycopg, sqlite3, aiomysql, asyncmy, asyncpg, aiosqlite, "
    "or SQLAlchemy's Connection, Session, AsyncConnection, AsyncSession"
)


def link_of(connection: Any) -> AnyLink:
    """The link of a connection, a subclass of one, or a session. TypeError: it is of no known kind."""
    for each in type(connection).__mro__:
        found = KINDS.get((each.__module__.partition(".")[0], each.__name__))
        if found:
            link: AnyLink = getattr(import_module(found[0]), found[1])(connection)
            return link
    kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
    raise TypeError(f"expected a connection of {SUPPORTED}; got {kind}")


def sql_of(link: AnyLink, table: str | None) -> Sql:
    """The statements for a table behind this link; None: the usual one."""
    return Sql.of(link.dialect, table, link.style)


def refuse_open(is_open: bool) -> None:
    """RuntimeError if a transaction is open: what it has done already would not be guarded, or would be committed."""
    if is_open:
        raise RuntimeError(
            "a transaction is open on this connection: commit it or roll it back first, "
            "for the barrier's rows and the business are to be one transaction, and nothing else"
        )
