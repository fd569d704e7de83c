"""The barrier: at most once, never after its undo, and never an undo of what has not been."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Self, TypeVar, overload

from dtm.client.barrier.calls import Call, query_of
from dtm.client.barrier.links import AnyLink, AsyncLink, link_of, sql_of
from dtm.client.barrier.rules import Business, Flow, committed, guarded
from dtm.client.barrier.running import Ended, advance, advance_async, carry_out, carry_out_async, twice, twice_async
from dtm.client.colours import awaitable, plain
from dtm.client.errors import Failure

C = TypeVar("C")
T = TypeVar("T")

FREE, TAKEN, SPENT = "free", "taken", "spent"
NAMES = ("the connection", "the business")


class Barrier:
    """Guards what one call of a coordinator does to a database.

    Its rows and the business are one transaction, whatever the connection's autocommit setting is: both are committed,
    or, after any error, neither is, and the connection can be used on. So no transaction may be open on the connection
    before (RuntimeError): what it has done already would not be guarded. With SQLAlchemy, and with psycopg unless it is
    in autocommit, a SELECT has opened one. The business neither commits nor rolls back.

    Several guarded blocks of one handler are told apart by their order, 01, 02 ...: a repeated call, and the one that
    undoes it, must have as many of them in the same order. So one is over before the next one begins, and after an
    error there is no next one (RuntimeError); the coordinator will call again.
    """

    def __init__(self, trans_type: str, gid: str, branch_id: str, op: str, *, table: str | None = None) -> None:
        """Of a call that is known. table: "schema.name" or "name"; None: dtm_barrier.barrier, on SQLite barrier.

        InvalidRequest: a value is missing, longer than its column, or has control characters.
        """
        self.identity = Call(trans_type, gid, branch_id, op)
        self._table = table
        self._blocks = 0
        self._state = FREE
        self._refused = False

    @classmethod
    def from_query(cls, query: Mapping[str, str], *, table: str | None = None) -> Self:
        """Of the call with this query: trans_type, gid, branch_id and op. InvalidRequest, as above."""
        call = Call.of(query)
        return cls(call.trans_type, call.gid, call.branch_id, call.op, table=table)

    @classmethod
    def from_request(cls, request: Any, *, table: str | None = None) -> Self:
        """Of a request of FastAPI, Starlette, Flask, Tornado (or the handler) or aiohttp. TypeError, InvalidRequest."""
        return cls.from_query(query_of(request), table=table)

    def guard(self, connection: Any) -> Guard:
        """`with barrier.guard(connection) as run:`, or `async with`; do the business in there if `run`."""
        return Guard(self, link_of(connection))

    @overload
    def call(self, connection: C, work: Callable[[C], Awaitable[T]]) -> Awaitable[T | None]: ...

    @overload
    def call(self, connection: C, work: Callable[[C], T]) -> T | None: ...

    def call(self, connection: Any, work: Callable[[Any], Any]) -> Any:
        """The result of `work(connection)`, None when it may not run; to be awaited if the connection is asynchronous.

        Once more, from the beginning, after a deadlock, a lock that was not had in time, or a serialization failure.
        """
        link = link_of(connection)
        if isinstance(link, AsyncLink):
            return self._call_async(link, connection, work)
        with self.block(link) as flow:
            return twice(lambda: carry_out(link, flow(), lambda: plain(work(connection), *NAMES)))

    def query_prepared(self, connection: Any) -> Any:
        """Answer a check-back: return if the message's local transaction was committed, which `call` did as op msg.

        Failure: it was not, and now it cannot be any more. To be awaited if the connection is asynchronous.
        """
        link = link_of(connection)
        sql, gid = sql_of(link, self._table), self.identity.gid
        if isinstance(link, AsyncLink):
            return twice_async(lambda: carry_out_async(link, committed(sql, gid)))
        return twice(lambda: carry_out(link, committed(sql, gid)))

    @property
    def may_be_done(self) -> bool:
        """Whether a block has been committed, or one has ended by an error that may have come with the commit."""
        return self._blocks > 1 or (self._blocks == 1 and not self._refused)

    @property
    def done(self) -> bool:
        """Whether a block has been committed, and none has failed or is not over yet."""
        return self._blocks > 0 and self._state == FREE

    @contextmanager
    def block(self, link: AnyLink) -> Iterator[Callable[[], Flow[Any]]]:
        """The next guarded block, and a maker of the flows of its tries. RuntimeError: there is none any more."""
        if self._state != FREE:
            raise RuntimeError(
                "a guarded block of this Barrier is not over yet"
                if self._state == TAKEN
                else "a guarded block of this Barrier has failed: what came now would have another number next time"
            )
        sql = sql_of(link, self._table)
        self._blocks, self._state = self._blocks + 1, TAKEN
        try:
            yield partial(guarded, sql, self.identity, f"{self._blocks:02d}")
        except BaseException as error:
            self._state, self._refused = SPENT, isinstance(error, Failure)
            raise
        self._state = FREE

    async def _call_async(self, link: AsyncLink, connection: Any, work: Callable[[Any], Any]) -> Any:
        with self.block(link) as flow:
            return await twice_async(lambda: carry_out_async(link, flow(), lambda: awaitable(work(connection), *NAMES)))


class Guard:
    """A guarded block of a Barrier, as a context: entering tells whether the business may run, leaving commits.

    An exception rolls back and is raised on. Nothing is tried again; `Barrier.call` does that.
    """

    def __init__(self, barrier: Barrier, link: AnyLink) -> None:
        self._barrier = barrier
        self._link = link

    def __enter__(self) -> bool:
        """Begin. TypeError: the connection is asynchronous."""
        link = self._link
        if isinstance(link, AsyncLink):
            raise TypeError("the connection is asynchronous: async with barrier.guard(connection) as run")
        with self._entering() as flow:
            return _may_run(advance(link, flow, partial(next, flow)))

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Commit, or roll back."""
        assert not isinstance(self._link, AsyncLink)
        with self._leaving:
            advance(self._link, self._flow, self._ending(error))

    async def __aenter__(self) -> bool:
        """Begin. TypeError: the connection is not asynchronous."""
        link = self._link
        if not isinstance(link, AsyncLink):
            raise TypeError("the connection is not asynchronous: with barrier.guard(connection) as run")
        with self._entering() as flow:
            return _may_run(await advance_async(link, flow, partial(next, flow)))

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Commit, or roll back."""
        assert isinstance(self._link, AsyncLink)
        with self._leaving:
            await advance_async(self._link, self._flow, self._ending(error))

    @contextmanager
    def _entering(self) -> Iterator[Flow[Any]]:
        """The flow; unless it fails, the block stays entered until `_leaving` is."""
        with ExitStack() as stack:
            self._flow = stack.enter_context(self._barrier.block(self._link))()
            yield self._flow
            self._leaving = stack.pop_all()

    def _ending(self, error: BaseException | None) -> Callable[[], Any]:
        return partial(self._flow.send, None) if error is None else partial(self._flow.throw, error)


def _may_run(step: Business | Ended) -> bool:
    assert isinstance(step, Business)
    return step.run
