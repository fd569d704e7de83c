"""What commands of the command line have in common: options, refusals, settings."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from dtm.core.errors import StartupError

_PASSWORD = re.compile(r"://[^/@]*:[^/]*@")


def refusing(command: Callable[..., None]) -> Callable[..., None]:
    """A refusal is one clear line on stderr and exit status 2, not a traceback."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except StartupError as error:
            for line in str(error).splitlines():
                click.echo(f"dtm: {line}", err=True)
            sys.exit(2)

    return wrapper


def settings(path: str | None, **overrides: Any) -> Any:
    """The settings of the coordinator; what was not given on the command line is None."""
    from dtm.core.config import load

    return load(path, os.environ, {key: value for key, value in overrides.items() if value is not None})


def hiding(option: str, variable: str) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    """The callback of an option that takes a URL: no password stays in the list of processes.

    We begin anew with the URL in the environment, which only we can read. For a moment it has been there to see; the
    variable itself is the better place.
    """

    def hidden(context: click.Context, parameter: click.Parameter, url: str | None) -> str | None:
        if url and _PASSWORD.search(url) and url in " ".join(sys.orig_argv) and sys.executable:
            arguments = without(sys.orig_argv[1:], option)
            os.execve(sys.executable, [sys.executable, *arguments], {**os.environ, variable: url})  # noqa: S606 - ourselves
        return url

    return hidden


def without(arguments: list[str], option: str) -> list[str]:
    """The arguments without an option and its value."""
    left, following = [], iter(arguments)
    for argument in following:
        if argument == option:
            next(following, None)
        elif not argument.startswith(f"{option}="):
            left.append(argument)
    return left


config_option = click.option("-c", "--config", "path", metavar="FILE", help="Configuration file (YAML).")
store_option = click.option(
    "--store",
    metavar="URL",
    callback=hiding("--store", "DTM_STORE"),
    help="sqlite:///dtm.db, sqlite:////absolute.db, mysql://user:password@host/db or memory://; "
    "with a password better in the file or in DTM_STORE.",
)
