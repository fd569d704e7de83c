"""`python3 -m dtm.demo PORT...`: banks A, B, ... with 100 each, to try a coordinator out by hand."""

from __future__ import annotations

import asyncio
import string

import click

from dtm.demo.bank import Bank
from dtm.demo.ledger import Ledger


@click.command()
@click.argument("ports", nargs=-1, required=True, metavar="PORT...", type=click.IntRange(0, 65535))
@click.option("--closed", multiple=True, metavar="NAME", help="This bank refuses everything.")
def main(ports: tuple[int, ...], closed: tuple[str, ...]) -> None:
    """Run one bank on each port until Ctrl-C; their books are kept in memory."""
    asyncio.run(_serve(ports, closed))


async def _serve(ports: tuple[int, ...], closed: tuple[str, ...]) -> None:
    for name, port in zip(string.ascii_uppercase, ports, strict=False):
        bank = Bank(name, Ledger(":memory:", 100, accepting=name not in closed))
        bank.start(port)
        click.echo(f"bank {name} on {bank.url}")
    await asyncio.Event().wait()


if __name__ == "__main__":
    main()
