"""`dtm barrier create` and `dtm barrier purge`, on each database; what they refuse."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.command import Ran
from tests.support.mariadb import QUOTED_PASSWORD, USER, MariaDB
from tests.support.ports import free_port
from tests.support.postgresql import PostgreSQL

EXPECTED = "expected mysql://USER:PASSWORD@HOST:3306/, postgresql://USER:PASSWORD@HOST/DATABASE, sqlite:///FILE "


def refusal(ran: Ran) -> str:
    """The one line on stderr; exit status 2."""
    assert (ran.status, ran.out) == (2, "")
    (line,) = ran.err.splitlines()
    return line.removeprefix("dtm: --db: ")


@pytest.mark.parametrize("place", ["mysql", "postgresql", "sqlite"])
def test_the_table_is_made_and_purged(
    dtm: Callable[..., Ran], mariadb: MariaDB, postgresql: PostgreSQL, place: str
) -> None:
    url = {
        "mysql": f"mysql://{USER}:{QUOTED_PASSWORD}@127.0.0.1:{mariadb.port}/",
        "postgresql": postgresql.url,
        "sqlite": "sqlite:///participant.db",
    }[place]
    for _ in range(2):
        made = dtm("barrier", "create", DTM_BARRIER_DB=url)
        assert (made.status, made.err) == (0, ""), made
    named = dtm(
        "barrier", "create", "--table", "other" if place == "sqlite" else "dtm_barrier.other", DTM_BARRIER_DB=url
    )
    assert named.out.startswith("the barrier's table is there: ")
    purged = dtm("barrier", "purge", "--older-than", "3000d", DTM_BARRIER_DB=url)
    assert (purged.status, purged.out) == (0, "0 rows deleted\n")


def test_old_rows_go(dtm: Callable[..., Ran], tmp_path: Path) -> None:
    assert dtm("barrier", "create", "--db", "sqlite:///p.db").status == 0
    with closing(sqlite3.connect(tmp_path / "p.db", isolation_level=None)) as connection:
        connection.execute("INSERT INTO barrier (gid, create_time) VALUES ('a', '2020-01-01 00:00:00')")
        assert dtm("barrier", "purge", "--db", "sqlite:///p.db", "--older-than", "30d").out == ("1 rows deleted\n")
        assert connection.execute("SELECT * FROM barrier").fetchall() == []


def test_what_cannot_be_done_is_one_clear_line(dtm: Callable[..., Ran], tmp_path: Path) -> None:
    def create(url: str, *arguments: str, **more: str) -> str:
        return refusal(dtm("barrier", "create", *arguments, DTM_BARRIER_DB=url, **more))

    for url in ("oracle://x/", "sqlite:///", "participant.db", "mysql://[::1/"):
        assert create(url).startswith(EXPECTED)
    assert create("mysql://localhost/").startswith("expected mysql://USER")
    assert "unable to open" in create("sqlite:////nowhere/at.db")
    port = free_port()
    reached = create(f"mysql://u:secret@127.0.0.1:{port}/")
    assert reached.startswith("mysql 127.0.0.1: ")
    assert "Can't connect" in reached
    assert "secret" not in reached
    assert "refused" in create(f"postgresql://u:secret@127.0.0.1:{port}/x")
    assert "expected the name of a table" in create("sqlite:///p.db", "--table", "a;b")
    (tmp_path / "psycopg.py").write_text("raise ImportError")
    missing = create("postgresql://u:secret@127.0.0.1/x", PYTHONPATH=str(tmp_path))
    assert missing == "PostgreSQL needs psycopg here: pip install 'psycopg[binary]'"
    young = refusal(dtm("barrier", "purge", "--db", "sqlite:///p.db", "--older-than", "1d"))
    assert young.startswith("sqlite p.db: expected an age of at least 2 days")
