"""The command line: dtm serve | demo | show | check | conformance | db | barrier | protocols | new-protocol."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import click

from dtm.barrier import barrier
from dtm.database import db
from dtm.options import config_option, hiding, refusing, settings, store_option


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dtm-coordinator", prog_name="dtm")
def main() -> None:
    """A distributed transaction coordinator: SAGA, TCC, two-phase message and XA."""


@main.command()
@config_option
@store_option
@click.option("--host", metavar="HOST", help="Address to listen on (127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (36789); 0 picks a free one.")
@click.option("--processes", type=click.IntRange(1, 256), help="Processes that share the port (1); mysql:// only.")
@click.option("--allow-orphans", is_flag=True, help="Start although unfinished transactions need a missing protocol.")
@refusing
def serve(path: str | None, allow_orphans: bool, **overrides: Any) -> None:
    """Run a coordinator."""
    from dtm import process

    sys.exit(process.serve(settings(path, **overrides), allow_orphans=allow_orphans))


@main.command()
@config_option
@click.option("--store", is_flag=True, help="Look at the store too: backlog, schema, dangerous settings of its server.")
@refusing
def check(path: str | None, store: bool) -> None:
    """Check a configuration: every fault in it that `serve` would refuse, without starting anything.

    Exit status 2: `serve` would refuse. 1: with --store, something there is dangerous.
    """
    from dtm.core.app import App

    app = App(settings(path))
    code = 0
    if store:
        from dtm import upkeep

        code = asyncio.run(upkeep.check(app.settings, app.registry.enabled))
    names = ", ".join(sorted(app.registry.enabled))
    click.echo(
        f"{'not safe' if code else 'ok'}: store {app.settings.store.split('://', 1)[0]}, protocols {names or 'none'}"
    )
    sys.exit(code)


@main.command()
@config_option
@refusing
def protocols(path: str | None) -> None:
    """List the protocols that are registered here, and whether they are enabled."""
    from dtm.core.app import load_registry
    from dtm.core.schemas import Schemas
    from dtm.listing import print_protocols

    print_protocols(load_registry(settings(path), Schemas()))


@main.command()
@click.argument("protocol", nargs=-1, required=True)
@click.option(
    "--laws", metavar="MODULE[:NAME]", help="Laws of its own, beyond those for all: LAWS of a module or file."
)
@click.option("--histories", type=click.IntRange(0), default=5000, show_default=True, help="How many are generated.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The first of their seeds.")
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, help="Processes; as many as processors.")
@click.option("--json", "json_file", metavar="FILE", help="Write the report there, too.")
@refusing
def conformance(protocol: tuple[str, ...], json_file: str | None, **how: Any) -> None:
    """Examine protocols: do they keep the laws, whatever goes wrong?

    PROTOCOL is "package.module", "./file.py" or the name of a built-in one, and ":NAME" behind it if it offers several.
    It is tested with the "examples" in its schemas. Exit status 1: a law is broken; 2: it could not be examined.
    """
    from dtm.examination import Order, examine

    sys.exit(not examine(Order(protocol, **how), json_file))


@main.command("new-protocol")
@click.argument("name")
@refusing
def new_protocol(name: str) -> None:
    """Write a plugin project for a protocol into the new directory NAME: code, schema, tests, all of which work."""
    from pathlib import Path

    from dtm.scaffold import new_project

    new_project(name, Path.cwd())
    click.echo(f"{name}/ is a working protocol. Next: cd {name} && pip install -e '.[test]' && pytest")


@main.command()
@click.argument("gid")
@click.option(
    "--server",
    envvar="DTM_SERVER",
    default="http://127.0.0.1:36789",
    show_default=True,
    metavar="URL",
    help="The coordinator; also from DTM_SERVER.",
)
@click.option(
    "--token",
    envvar="DTM_TOKEN",
    metavar="TOKEN",
    help="Bearer token, if the coordinator wants one; better from DTM_TOKEN.",
)
def show(gid: str, server: str, token: str | None) -> None:
    """Show the timeline of a transaction."""
    from dtm.timeline import show_transaction

    show_transaction(gid, server, token)


@main.command()
@click.argument("scenario", type=click.Choice(["saga", "saga-rollback", "tcc", "msg", "xa", "xa-rollback"]))
@click.option(
    "--db",
    envvar="DTM_DEMO_DB",
    callback=hiding("--db", "DTM_DEMO_DB"),
    metavar="URL",
    help="mysql://user:password@host:3306/, where xa makes two databases, and drops them; better from DTM_DEMO_DB.",
)
@refusing
def demo(scenario: str, db: str | None) -> None:
    """Watch money move between two services through a coordinator of its own."""
    from dtm.demo import run

    sys.exit(run(scenario, db))


main.add_command(db)
main.add_command(barrier)

if __name__ == "__main__":
    main()
