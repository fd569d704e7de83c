"""Statements on MySQL and MariaDB that are no flush: what their errors mean to a caller, and which are tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from dtm.core.errors import DtmError, InvalidRequest, OutcomeUnknown, StoreUnavailable
from dtm.core.store.mysql_errors import LOCK_WAIT, Fate, StatementError
from dtm.core.store.mysql_pool import Answer, Pool, Row

PAUSE = 0.02


async def read(pool: Pool, query: str, timeout: float) -> Sequence[Row]:
    """The rows of a query, in `timeout` seconds; asked again when its connection was lost. StoreUnavailable."""
    try:
        return (await _insist(pool, query, timeout, (Fate.AGAIN, Fate.UNKNOWN))).rows
    except StatementError as error:
        raise StoreUnavailable(f"the database failed: {error}") from error


async def write(pool: Pool, statement: str, timeout: float) -> Answer:
    """Run a statement that does not know itself again: tried again only when nothing was done. The store's errors."""
    try:
        return await _insist(pool, statement, timeout, (Fate.AGAIN,))
    except StatementError as error:
        raise meaning(error) from error


def meaning(error: StatementError) -> DtmError:
    """What the error of a write says to a caller."""
    if error.fate is Fate.VALUE:
        return InvalidRequest("", f"cannot be stored: {error}")
    if error.fate is Fate.UNKNOWN:
        return OutcomeUnknown(f"the database failed, the write may be stored: {error}")
    return StoreUnavailable(f"the database failed: {error}")


async def _insist(pool: Pool, statement: str, timeout: float, again: tuple[Fate, ...]) -> Answer:
    """Run a statement, again while it ends in one of these ways and there is time. StatementError: the last one.

    A row that somebody has locked for longer than any flush does is not waited for twice.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while True:
        try:
            return await pool.run(statement, deadline - loop.time())
        except StatementError as error:
            if error.fate not in again or error.code == LOCK_WAIT or loop.time() + PAUSE >= deadline:
                raise
        await asyncio.sleep(PAUSE)
