"""Carries the barrier's flows out on a connection, of either kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from dtm.client.barrier.links import AsyncLink, Link
from dtm.client.barrier.rules import Business, Do, Flow

T = TypeVar("T")

MYSQL = {"pymysql", "MySQLdb", "asyncmy", "aiomysql"}
MYSQL_AGAIN = {(1020,), (1205,), (1213,)}
"""A row has changed since the snapshot, a lock was not had in time, a deadlock."""

SQLSTATES_AGAIN = {"40001", "40P01", "55P03"}
"""PostgreSQL's serialization failure, deadlock, and lock not had in time."""

SQLITE_AGAIN = {5, 6}
"""SQLite's BUSY and LOCKED."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A flow is at its end."""

    value: Any


def advance(link: Link, flow: Flow[Any], resume: Callable[[], Do | Business]) -> Business | Ended:
    """Carry out what comes after `resume()`, up to the business or the end."""
    try:
        step = resume()
        while isinstance(step, Do):
            try:
                got = getattr(link, step.method)(*step.arguments)
            except BaseException as error:
                step = flow.throw(error)
            else:
                step = flow.send(got)
    except StopIteration as end:
        return Ended(end.value)
    return step


async def advance_async(link: AsyncLink, flow: Flow[Any], resume: Callable[[], Do | Business]) -> Business | Ended:
    """Carry out what comes after `resume()`, up to the business or the end."""
    try:
        step = resume()
        while isinstance(step, Do):
            try:
                got = await getattr(link, step.method)(*step.arguments)
            except BaseException as error:
                step = flow.throw(error)
            else:
                step = flow.send(got)
    except StopIteration as end:
        return Ended(end.value)
    return step


def carry_out(link: Link, flow: Flow[T], business: Callable[[], Any] | None = None) -> T:
    """Carry a flow out to its end; its result."""
    step = advance(link, flow, partial(next, flow))
    while isinstance(step, Business):
        try:
            result = business() if business and step.run else None
        except BaseException as error:
            step = advance(link, flow, partial(flow.throw, error))
        else:
            step = advance(link, flow, partial(flow.send, result))
    value: T = step.value
    return value


async def carry_out_async(link: AsyncLink, flow: Flow[T], business: Callable[[], Awaitable[Any]] | None = None) -> T:
    """Carry a flow out to its end; its result."""
    step = await advance_async(link, flow, partial(next, flow))
    while isinstance(step, Business):
        try:
            result = await business() if business and step.run else None
        except BaseException as error:
            step = await advance_async(link, flow, partial(flow.throw, error))
        else:
            step = await advance_async(link, flow, partial(flow.send, result))
    value: T = step.value
    return value


def twice(attempt: Callable[[], T]) -> T:
    """Try once more after an error that passes."""
    try:
        return attempt()
    except Exception as error:
        if not passes(error):
            raise
    return attempt()


async def twice_async(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try once more after an error that passes."""
    try:
        return await attempt()
    except Exception as error:
        if not passes(error):
            raise
    return await attempt()


def passes(error: Exception) -> bool:
    """Whether a driver says that the same again may succeed: another transaction was in the way."""
    cause = getattr(error, "orig", None) or error  # SQLAlchemy's errors hold the driver's
    if type(cause).__module__.partition(".")[0] in MYSQL:
        return cause.args[:1] in MYSQL_AGAIN
    busy = getattr(cause, "sqlite_errorcode", 0) & 255 in SQLITE_AGAIN  # the low byte of an extended code
    return busy or getattr(cause, "sqlstate", None) in SQLSTATES_AGAIN
