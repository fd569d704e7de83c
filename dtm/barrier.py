"""The command line's group `dtm barrier`: the barrier's table in a participant's database."""

from __future__ import annotations

import asyncio

import click

from dtm.database import seconds
from dtm.options import hiding, refusing

db_option = click.option(
    "--db",
    envvar="DTM_BARRIER_DB",
    callback=hiding("--db", "DTM_BARRIER_DB"),
    required=True,
    metavar="URL",
    help="The participant's database: mysql://user:password@host/, postgresql://user:password@host/database or "
    "sqlite:///file.db; with a password better from DTM_BARRIER_DB.",
)
table_option = click.option(
    "--table", metavar="NAME", help="Its name, if it is not dtm_barrier.barrier, or on SQLite barrier."
)


@click.group()
def barrier() -> None:
    """The barrier's table in a participant's database."""


@barrier.command()
@db_option
@table_option
@refusing
def create(db: str, table: str | None) -> None:
    """Make the table, and its schema or database, unless they are there."""
    from dtm import barrier_table

    click.echo(asyncio.run(barrier_table.create(db, table)))


@barrier.command()
@db_option
@table_option
@click.option("--older-than", "age", callback=seconds, required=True, metavar="AGE", help="At least 2d; 30d is good.")
@refusing
def purge(db: str, table: str | None, age: float) -> None:
    """Delete the rows of transactions none of whose rows is younger than AGE.

    They must have ended, all of them, and no call of theirs may come any more: a call whose row is gone does its
    business again. `dtm check --store` tells how old the oldest unfinished transaction is.
    """
    from dtm import barrier_table

    click.echo(asyncio.run(barrier_table.purge(db, table, age)))
