"""The barrier's statements, in each dialect and each way of writing placeholders (contract, 4.3 and 4.4)."""

# ruff: noqa: S608 - the table's name is checked, numbers are ours, and every value is bound
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

COLUMNS = ("trans_type", "gid", "branch_id", "op", "barrier_id", "reason")
KEY = ("gid", "branch_id", "op", "barrier_id")

DIALECTS = {"mysql": "mysql", "mariadb": "mysql", "postgresql": "postgresql", "sqlite": "sqlite"}
"""What a dialect is called, by us or by SQLAlchemy -> the dialect; the file of this name makes its table."""

SHARED, OF_SQLITE = "dtm_barrier.barrier", "barrier"
"""The table's name unless told otherwise: the one that services in other languages use; SQLite has no schemas."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?")

MARKS: dict[str, Callable[[int], str]] = {
    "format": lambda number: "%s",
    "qmark": lambda number: "?",
    "numeric": lambda number: f"${number}",
    "named": lambda number: f":p{number}",
}
"""paramstyle -> the placeholder of the n-th value, from 1."""


def table_name(name: str) -> str:
    """The name of a table, or of one in a schema, as it can stand in SQL. ValueError: it is no such name."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"expected the name of a table, like barrier or dtm_barrier.barrier, got {name!r}")
    return name


@dataclass(frozen=True, slots=True)
class Sql:
    """Statements for one table. `style`: a key of MARKS."""

    dialect: str
    table: str
    style: str

    @classmethod
    def of(cls, dialect: str, table: str | None, style: str) -> Sql:
        """For a table of this name, None for the usual one. TypeError: no such dialect; ValueError: no such name."""
        if dialect not in DIALECTS:
            raise TypeError(f"expected MySQL, MariaDB, PostgreSQL or SQLite behind the connection, found {dialect}")
        return cls(DIALECTS[dialect], table_name(table or (OF_SQLITE if dialect == "sqlite" else SHARED)), style)

    @property
    def insert(self) -> str:
        """Insert a row (its values are COLUMNS) unless there is one of its key; 1 or 0 rows are affected."""
        row = f"INTO {self.table} ({', '.join(COLUMNS)}) VALUES ({self._marks(len(COLUMNS))})"
        if self.dialect == "mysql":
            return f"INSERT IGNORE {row}"
        return f"INSERT {row} ON CONFLICT ({', '.join(KEY)}) DO NOTHING"

    @property
    def reason(self) -> str:
        """The reason in the row of a key (its values are KEY)."""
        condition = " AND ".join(f"{name} = {self._mark(at)}" for at, name in enumerate(KEY, start=1))
        return f"SELECT reason FROM {self.table} WHERE {condition}"

    def gids_before(self, seconds: int, most: int) -> str:
        """The gids, at most so many, whose newest row is older than so many seconds, by the database's clock."""
        ago = {
            "mysql": f"NOW() - INTERVAL {seconds} SECOND",
            "postgresql": f"now() - make_interval(secs => {seconds})",
            "sqlite": f"datetime('now', '-{seconds} seconds')",
        }[self.dialect]
        younger = f"SELECT 1 FROM {self.table} b WHERE b.gid = a.gid AND b.create_time >= {ago}"
        return (
            f"SELECT DISTINCT a.gid FROM {self.table} a WHERE a.create_time < {ago} "
            f"AND NOT EXISTS ({younger}) LIMIT {most}"
        )

    @property
    def delete(self) -> str:
        """Delete the rows of a gid."""
        return f"DELETE FROM {self.table} WHERE gid = {self._mark(1)}"

    def creation(self) -> list[str]:
        """The statements that make the table, and its schema or database, unless they are there."""
        text = Path(__file__).with_name(f"{self.dialect}.sql").read_text()
        usual = OF_SQLITE if self.dialect == "sqlite" else SHARED
        schema, _, name = self.table.rpartition(".")
        text = text.replace(f" {usual} (", f" {self.table} (").replace(" dtm_barrier;", f" {schema};")
        text = text.replace("uniq_barrier", f"uniq_{name}").replace("barrier_create_time", f"{name}_create_time")
        lines = [line for line in text.splitlines() if not line.startswith("--")]
        statements = [statement.strip() for statement in "\n".join(lines).split(";")]
        return [
            each
            for each in statements
            if each and (schema or not each.startswith(("CREATE DATABASE", "CREATE SCHEMA")))
        ]

    def _mark(self, number: int) -> str:
        return MARKS[self.style](number)

    def _marks(self, many: int) -> str:
        return ", ".join(map(self._mark, range(1, many + 1)))
