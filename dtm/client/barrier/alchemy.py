"""Links to what SQLAlchemy 2 has: Connection, Session, and their asynchronous forms, which run the same code."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from importlib import import_module
from typing import Any, ClassVar, TypeVar

from dtm.client.barrier.links import AsyncLink, Link, Rows, Values, refuse_open

T = TypeVar("T")


class _Blocking(Link):
    """What a Connection and a Session have in common."""

    style = "named"

    def __init__(self, target: Any) -> None:
        self._target = target
        self._connection: Any = None
        self._by_hand = False

    @abstractmethod
    def _underneath(self) -> Any:
        """The Connection that statements go to."""

    def begin(self) -> None:
        """SQLAlchemy's begin() sends nothing: a connection in autocommit has to be told by a statement."""
        refuse_open(self._target.in_transaction())
        self._target.begin()
        try:
            self._connection = self._underneath()
            self._by_hand = autocommits(self._connection.connection.dbapi_connection)
            if self._by_hand:
                self._connection.exec_driver_sql("BEGIN")
        except BaseException:
            self._target.rollback()
            raise

    def execute(self, sql: str, values: Values) -> int:
        return int(self._run(sql, values).rowcount)

    def fetch(self, sql: str, values: Values) -> Rows:
        rows: Rows = self._run(sql, values).fetchall()
        return rows

    def commit(self) -> None:
        self._end("COMMIT")
        self._target.commit()

    def rollback(self) -> None:
        try:
            self._end("ROLLBACK")
        finally:
            self._target.rollback()

    def _end(self, statement: str) -> None:
        if self._by_hand:
            self._by_hand = False
            self._connection.exec_driver_sql(statement)

    def _run(self, sql: str, values: Values) -> Any:
        text = import_module("sqlalchemy").text(sql)
        return self._connection.execute(text, {f"p{number}": value for number, value in enumerate(values, start=1)})


class OfConnection(_Blocking):
    """A Connection."""

    def __init__(self, target: Any) -> None:
        super().__init__(target)
        self.dialect = target.dialect.name

    def _underneath(self) -> Any:
        return self._target


class OfSession(_Blocking):
    """A Session; what it holds is flushed before the commit."""

    def __init__(self, target: Any) -> None:
        super().__init__(target)
        self.dialect = target.get_bind().dialect.name

    def _underneath(self) -> Any:
        return self._target.connection()

    def fetch(self, sql: str, values: Values) -> Rows:
        self._target.flush()
        return super().fetch(sql, values)


class OfScopedSession(OfSession):
    """A scoped_session: the Session of this scope."""

    def __init__(self, target: Any) -> None:
        super().__init__(target())


class _Async(AsyncLink):
    """An asynchronous form: the link of what is inside, run where it may await.

    kind: the class of that link; inside: the attribute that holds it.
    """

    style = "named"
    kind: ClassVar[type[OfConnection | OfSession]]
    inside: ClassVar[str]

    def __init__(self, target: Any) -> None:
        self._target = target
        self._link = self.kind(getattr(target, self.inside))
        self.dialect = self._link.dialect

    async def begin(self) -> None:
        await self._run(self._link.begin)

    async def execute(self, sql: str, values: Values) -> int:
        return await self._run(lambda: self._link.execute(sql, values))

    async def fetch(self, sql: str, values: Values) -> Rows:
        return await self._run(lambda: self._link.fetch(sql, values))

    async def commit(self) -> None:
        await self._run(self._link.commit)

    async def rollback(self) -> None:
        await self._run(self._link.rollback)

    async def _run(self, step: Callable[[], T]) -> T:
        result: T = await self._target.run_sync(lambda _: step())
        return result


class OfAsyncConnection(_Async):
    """An AsyncConnection."""

    kind, inside = OfConnection, "sync_connection"


class OfAsyncSession(_Async):
    """An AsyncSession."""

    kind, inside = OfSession, "sync_session"


class OfAsyncScopedSession(OfAsyncSession):
    """An async_scoped_session: the AsyncSession of this scope."""

    def __init__(self, target: Any) -> None:
        super().__init__(target())


def autocommits(connection: Any) -> bool:
    """Whether a connection of a driver, or SQLAlchemy's wrapper of an asynchronous one, is in autocommit."""
    ask = getattr(connection, "get_autocommit", None)
    if ask is not None:  # MySQL's drivers, where `autocommit` is a method
        return bool(ask())
    return getattr(connection, "autocommit", None) is True or getattr(connection, "isolation_level", "") is None
