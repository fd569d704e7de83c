"""The schema on a MySQL or MariaDB server: made on an empty one, refused when it is not ours, upgraded on demand.

Its revisions are the numbered files in `migrations/mysql`: statements that end with a semicolon at the end of a line.
"""

from __future__ import annotations

from importlib.resources import files

from dtm.core.errors import StartupError
from dtm.core.store.mysql_address import Address
from dtm.core.store.mysql_errors import NO_SUCH_DATABASE, NO_SUCH_TABLE, StatementError
from dtm.core.store.mysql_pool import Connection, connect

UPGRADE_TIMEOUT = 3600.0
"""Seconds that one statement of an upgrade may take."""

LOCK_SECONDS = 30


async def prepare(address: Address, timeout: float) -> None:
    """Make database and tables when there are none.

    StartupError: the schema has not the revision of this version of dtm. StatementError: the server says no.
    """
    present, known = await revisions(address, timeout)
    if present == 0:
        _, present = await upgrade(address, timeout)
    if present > known:
        raise _newer(address, present)
    if present < known:
        raise StartupError(
            f"store {address}: its schema has revision {present}, this version of dtm needs {known}: "
            "upgrade it by dtm db upgrade"
        )


async def revisions(address: Address, timeout: float) -> tuple[int, int]:
    """The schema's revision (0: there is none), and the one of this version of dtm. StatementError."""
    try:
        db = await connect(address, timeout)
    except StatementError as error:
        if error.code == NO_SUCH_DATABASE:
            return 0, max(migrations())
        raise
    try:
        return await present_revision(db, timeout), max(migrations())
    finally:
        await db.hang_up()


async def upgrade(address: Address, timeout: float) -> tuple[int, int]:
    """Bring the schema, or the lack of one, to the revision of this version of dtm: the revisions before and after.

    `timeout`: seconds to connect. Of several that try, one does it and the others wait. StatementError; StartupError,
    also when the schema is of a later version.
    """
    db = await _connect_or_create(address, timeout)
    try:
        locked = await db.run(f"SELECT GET_LOCK('dtm_schema', {LOCK_SECONDS})", LOCK_SECONDS + timeout)
        if locked.rows[0][0] != 1:
            raise StartupError(f"store {address}: another node has been changing its schema for {LOCK_SECONDS} s")
        present, scripts = await present_revision(db, timeout), migrations()
        if present > max(scripts):
            raise _newer(address, present)
        for revision in sorted(scripts):
            if revision > present:
                await _apply(db, revision, scripts[revision])
        return present, max(scripts)
    finally:
        await db.hang_up()  # which gives the lock back


def _newer(address: Address, present: int) -> StartupError:
    known = max(migrations())
    return StartupError(
        f"store {address}: its schema has revision {present}, this version of dtm knows {known} at most"
    )


def migrations() -> dict[int, str]:
    """The schema's revisions: number -> SQL script."""
    folder = files("dtm.core.store") / "migrations" / "mysql"
    scripts = (entry for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return {int(script.name.partition("_")[0]): script.read_text("utf-8") for script in scripts}


async def _connect_or_create(address: Address, timeout: float) -> Connection:
    try:
        return await connect(address, timeout)
    except StatementError as error:
        if error.code != NO_SUCH_DATABASE:
            raise
    server = await connect(address, timeout, into_database=False)
    try:
        names = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        await server.run(f"CREATE DATABASE IF NOT EXISTS `{address.database}` {names}", timeout)
    finally:
        await server.hang_up()
    return await connect(address, timeout)


async def present_revision(db: Connection, timeout: float) -> int:
    """The revision of the schema in a connection's database; 0: there is none. StatementError."""
    try:
        answer = await db.run("SELECT COALESCE(MAX(revision), 0) FROM dtm_schema", timeout)
    except StatementError as error:
        if error.code == NO_SUCH_TABLE:
            return 0
        raise
    return int(answer.rows[0][0])


async def _apply(db: Connection, revision: int, script: str) -> None:
    """Run a script, and then note that it has run: after a crash halfway it is run again.

    So it is when two nodes start on two servers of a Galera cluster, where locks are each server's own.
    """
    noted = "CREATE TABLE IF NOT EXISTS dtm_schema (revision INT NOT NULL PRIMARY KEY) ENGINE = InnoDB"
    done = f"INSERT IGNORE INTO dtm_schema (revision) VALUES ({revision:d})"  # noqa: S608 - a number of ours
    statements = [part for part in script.split(";\n") if part.strip()]
    for statement in (noted, *statements, done):
        await db.run(statement, UPGRADE_TIMEOUT)
