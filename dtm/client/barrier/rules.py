"""What the barrier does with a call, without doing it (contract, 4.4 and 4.5).

Generators that yield what a connection is to do, and are sent what came of it; `guards` carries them out.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from dtm.client.barrier.calls import Call
from dtm.client.barrier.sql import Sql
from dtm.client.errors import DtmError, Duplicated, Failure

T = TypeVar("T")

UNDOES = {"cancel": "try", "compensate": "action", "rollback": "action"}
"""op -> what it undoes."""

MSG, MSG_BRANCH, MSG_BARRIER, ROLLED_BACK = "msg", "00", "01", "rollback"
"""The row of a message's local transaction: its op, branch and barrier_id, and the reason that says it was given up."""

AT_ONCE = 500
"""gids whose rows are deleted in one transaction."""


@dataclass(frozen=True, slots=True)
class Do:
    """A method of a Link, and what it is given; `yield` gives its result, or raises its error."""

    method: Literal["begin", "execute", "fetch", "commit", "rollback"]
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Business:
    """Here the business takes its turn, if `run`; `yield` gives its result, else None, or raises its error."""

    run: bool


Flow = Generator[Do | Business, Any, T]


def guarded(sql: Sql, call: Call, barrier_id: str) -> Flow[Any]:
    """One transaction of the barrier's rows and what the business does; its result, None when it may not run."""
    return transaction(_guarded(sql, call, barrier_id))


def committed(sql: Sql, gid: str) -> Flow[None]:
    """Whether the local transaction of a message was committed. Failure: it was not, and now never will be."""
    reason = yield from transaction(_reason_of_msg(sql, gid))
    if reason == ROLLED_BACK:
        raise Failure(f"the local transaction of {gid} was not committed")
    if reason != MSG:
        raise DtmError(f"the barrier's row of {gid} gives {reason!r} as its reason: expected {MSG} or {ROLLED_BACK}")


def create(sql: Sql) -> Flow[None]:
    """Make the table unless it is there."""
    return transaction(_create(sql))


def purge(sql: Sql, seconds: int) -> Flow[int]:
    """Delete the rows of gids that have none younger than this, in transactions of a bearable size; how many rows."""
    total = 0
    while gone := (yield from transaction(_purge(sql, seconds))):
        total += gone
    return total


def transaction(inner: Flow[T]) -> Flow[T]:
    """All of it or nothing: whatever goes wrong, the commit too, the connection is rolled back."""
    yield Do("begin")
    try:
        result = yield from inner
        with _noted("that was the barrier's commit; nobody else may commit, or roll back, what it guards"):
            yield Do("commit")
    except GeneratorExit:  # dropped in the midst of it: there is nobody any more who could carry anything out
        raise
    except BaseException as error:
        try:
            yield Do("rollback")
        except Exception as trouble:
            error.add_note(f"the connection could not be rolled back: {trouble}")
        raise
    return result


@contextmanager
def _noted(note: str) -> Iterator[None]:
    """An error of a driver says what is wrong, but not that a statement of ours met it."""
    try:
        yield
    except Exception as error:
        error.add_note(note)
        raise


def _guarded(sql: Sql, call: Call, barrier_id: str) -> Flow[Any]:
    result = yield Business((yield from _admit(sql, call, barrier_id)))
    with _noted("that was the barrier, after the business, which may neither commit nor roll back"):
        rows = yield Do("fetch", (sql.reason, (call.gid, call.branch_id, call.op, barrier_id)))
    if not rows:
        raise RuntimeError(
            "the barrier's row is gone: the database, or the business itself, has rolled the transaction back, "
            "and the error was swallowed"
        )
    return result


def _admit(sql: Sql, call: Call, barrier_id: str) -> Flow[bool]:
    """Write the rows down. False: the business has run already, or there is nothing to undo, or it comes too late."""
    origin = UNDOES.get(call.op)
    nothing_to_undo = origin is not None and (yield from _insert(sql, _row(call, origin, barrier_id)))
    first_time = yield from _insert(sql, _row(call, call.op, barrier_id))
    if call.op == MSG and not first_time:
        raise Duplicated(f"the local transaction of {call.gid} has been done, or has been given up")
    return first_time and not nothing_to_undo


def _reason_of_msg(sql: Sql, gid: str) -> Flow[str | None]:
    """What the row of a message says; it says that it was given up, and a late local transaction fails, if it is new.

    The insert waits for whoever is writing that row, and no snapshot is older than it, so the select sees the row.
    """
    yield from _insert(sql, (MSG, gid, MSG_BRANCH, MSG, MSG_BARRIER, ROLLED_BACK))
    rows = yield Do("fetch", (sql.reason, (gid, MSG_BRANCH, MSG, MSG_BARRIER)))
    return rows[0][0] if rows else None


def _insert(sql: Sql, row: tuple[str, ...]) -> Flow[bool]:
    """Whether the row is new. What a driver cannot tell must not count as a repetition."""
    with _noted(f"that was the barrier, writing to {sql.table}, the table that create_table(connection) makes"):
        rows = yield Do("execute", (sql.insert, row))
    if rows not in (0, 1):
        raise DtmError(f"the driver says that {rows} rows were inserted: expected 0 or 1")
    return bool(rows)


def _row(call: Call, op: str, barrier_id: str) -> tuple[str, ...]:
    """The row that marks `op` of this branch as dealt with, for the reason of the call's own op."""
    return (call.trans_type, call.gid, call.branch_id, op, barrier_id, call.op)


def _create(sql: Sql) -> Flow[None]:
    for statement in sql.creation():
        yield Do("execute", (statement, ()))


def _purge(sql: Sql, seconds: int) -> Flow[int]:
    rows = yield Do("fetch", (sql.gids_before(seconds, AT_ONCE), ()))
    total = 0
    for (gid,) in rows:  # bytes in MySQL, which not every driver takes back
        total += yield Do("execute", (sql.delete, (gid.decode() if isinstance(gid, bytes) else gid,)))
    return total
