"""The barrier's table: made, and rid of rows that nobody needs any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from dtm.client.barrier import rules
from dtm.client.barrier.links import AsyncLink, link_of, sql_of
from dtm.client.barrier.running import carry_out, carry_out_async

AT_LEAST = timedelta(days=2)
"""More than the difference between two zones: MySQL writes each row down in the time of the session's zone."""


def create_table(connection: Any, *, table: str | None = None) -> Any:
    """Make the barrier's table, and its schema or database, unless they are there; awaitable if the connection is.

    The connection's user must be allowed to. It is what mysql.sql, postgresql.sql and sqlite.sql beside this file say.
    """
    link = link_of(connection)
    flow = rules.create(sql_of(link, table))
    return carry_out_async(link, flow) if isinstance(link, AsyncLink) else carry_out(link, flow)


def purge(connection: Any, older_than: timedelta, *, table: str | None = None) -> Any:
    """Delete the rows of transactions none of whose rows is younger; how many rows; awaitable if the connection is.

    What may go: rows of transactions that have ended, and of which no call can come any more. The barrier cannot know
    that, it only knows ages. If a row goes too early, a repeated call does its business again, and a compensation takes
    its action for one that never was. So `older_than` must be longer than any transaction lives: its time-outs, its
    retries for as long as one participant may be down, somebody's days off until a stuck one is looked after. A month
    is a good choice; less than two days is a ValueError. Look for unfinished ones of that age first (`dtm db status`).

    Rows without create_time, written into tables of other makers that do not fill it in, are never deleted.
    """
    if older_than < AT_LEAST:
        raise ValueError(f"expected an age of at least {AT_LEAST.days} days, got {older_than}")
    link = link_of(connection)
    flow = rules.purge(sql_of(link, table), int(older_than.total_seconds()))
    return carry_out_async(link, flow) if isinstance(link, AsyncLink) else carry_out(link, flow)
