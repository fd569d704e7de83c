"""Each of the examples does what its README says, from a copy of its folder, on databases of the tests' own."""

from __future__ import annotations

import psycopg
import pytest

from tests.docs.test_readme import ROOT, Shell, read, shell
from tests.support.mariadb import MariaDB, database_of
from tests.support.postgresql import PostgreSQL

__all__ = ["shell"]

EXAMPLES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/README.md"))


def test_there_are_examples() -> None:
    assert EXAMPLES == ["curl", "fastapi-saga", "flask-tcc", "postgresql-outbox"]


def test_curl(shell: Shell) -> None:
    walk_through(shell, "curl")


@pytest.mark.parametrize(("name", "scheme"), [("fastapi-saga", "mysql+pymysql"), ("flask-tcc", "mysql")])
def test_on_mariadb(shell: Shell, name: str, scheme: str, mariadb: MariaDB) -> None:
    database = database_of(shell.folder)
    mariadb.run(f"CREATE DATABASE {database}")
    shell.environment["DATABASE"] = f"{scheme}://root@127.0.0.1:{mariadb.port}/{database}"
    walk_through(shell, name)


def test_on_postgresql(shell: Shell, postgresql: PostgreSQL) -> None:
    database = database_of(shell.folder)
    with psycopg.connect(postgresql.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}")
    shell.environment["DATABASE"] = f"{postgresql.url.rpartition('/')[0]}/{database}"
    walk_through(shell, "postgresql-outbox")


def walk_through(shell: Shell, name: str) -> None:
    """Do all that its README says, with free ports in place of the usual ones."""
    for path in (ROOT / "examples" / name).iterdir():
        (shell.folder / path.name).write_text(shell.local(path.read_text()))
    steps = read(f"examples/{name}/README.md").steps
    assert steps
    for step in steps:
        shell.run(step)
