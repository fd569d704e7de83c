"""The command line's group `dtm db`: the schema of the store, and what nobody needs any more in it."""

from __future__ import annotations

import asyncio
import re
import sys

import click

from dtm.options import config_option, refusing, settings, store_option

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
MOST = 36_500 * SECONDS["d"]


def seconds(context: click.Context, parameter: click.Parameter, age: str) -> float:
    """Seconds of `90s`, `15m`, `12h`, `30d`, `1.5d`; at most a hundred years."""
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd])", age, re.ASCII)
    if not found:
        raise click.BadParameter(f"{age!r}: expected a number and a unit, like 90s, 15m, 12h or 30d")
    result = float(found[1]) * SECONDS[found[2]]
    if result > MOST:
        raise click.BadParameter(f"{age!r}: expected at most 36500d")
    return result


@click.group()
def db() -> None:
    """The store: its schema, and transactions that ended long ago."""


@db.command()
@config_option
@store_option
@refusing
def status(path: str | None, store: str | None) -> None:
    """Show the store's schema, server and backlog; exit status 1 unless the schema is this version's."""
    from dtm import upkeep

    sys.exit(asyncio.run(upkeep.status(settings(path, store=store))))


@db.command()
@config_option
@store_option
@refusing
def upgrade(path: str | None, store: str | None) -> None:
    """Bring the schema on a server to this version's; on an empty one, make database and tables."""
    from dtm import upkeep

    asyncio.run(upkeep.upgrade(settings(path, store=store)))


@db.command()
@config_option
@store_option
@click.option("--older-than", "age", callback=seconds, required=True, metavar="AGE", help="Since its end: 12h, 30d ...")
@click.option("--dry-run", is_flag=True, help="Only count.")
@refusing
def purge(path: str | None, store: str | None, age: float, dry_run: bool) -> None:
    """Delete finished transactions; unfinished ones never, however old they are."""
    from dtm import upkeep

    asyncio.run(upkeep.purge(settings(path, store=store), age, dry_run=dry_run))
