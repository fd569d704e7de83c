"""The command line: dtm serve | demo | show | check | protocols."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from dtm.core.errors import StartupError


def refusing(command: Callable[..., None]) -> Callable[..., None]:
    """A refusal to start is one clear line on stderr and exit status 2, not a traceback."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except StartupError as error:
            for line in str(error).splitlines():
                click.echo(f"dtm: {line}", err=True)
            sys.exit(2)

    return wrapper


config_option = click.option("-c", "--config", "path", metavar="FILE", help="Configuration file (YAML).")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dtm-coordinator", prog_name="dtm")
def main() -> None:
    """A distributed transaction coordinator: SAGA, TCC, two-phase message and XA."""


@main.command()
@config_option
@click.option(
    "--store",
    metavar="URL",
    help="sqlite:///dtm.db, sqlite:////absolute.db, mysql://user:password@host/db or memory://",
)
@click.option("--host", metavar="HOST", help="Address to listen on (127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (36789); 0 picks a free one.")
@click.option("--allow-orphans", is_flag=True, help="Start although unfinished transactions need a missing protocol.")
@refusing
def serve(path: str | None, store: str | None, host: str | None, port: int | None, allow_orphans: bool) -> None:
    """Run a coordinator."""
    from dtm import process

    process.serve(_settings(path, store=store, host=host, port=port), allow_orphans=allow_orphans)


@main.command()
@config_option
@refusing
def check(path: str | None) -> None:
    """Check a configuration: every fault in it that `serve` would refuse, without starting anything."""
    from dtm.core.app import App

    app = App(_settings(path))
    names = ", ".join(sorted(app.registry.enabled))
    click.echo(f"ok: store {app.settings.store.split('://', 1)[0]}, protocols {names or 'none'}")


@main.command()
@config_option
@refusing
def protocols(path: str | None) -> None:
    """List the protocols that are registered here, and whether they are enabled."""
    from dtm.core.app import load_registry
    from dtm.core.schemas import Schemas
    from dtm.listing import print_protocols

    print_protocols(load_registry(_settings(path), Schemas()))


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
    metavar="URL",
    help="mysql://user:password@host:3306/, where xa makes two databases, and drops them; better from DTM_DEMO_DB.",
)
@refusing
def demo(scenario: str, db: str | None) -> None:
    """Watch money move between two services through a coordinator of its own."""
    from dtm.demo import run

    sys.exit(run(scenario, db))


def _settings(path: str | None, **overrides: Any) -> Any:
    from dtm.core.config import load

    return load(path, os.environ, {key: value for key, value in overrides.items() if value is not None})


if __name__ == "__main__":
    main()
