"""A look at a MySQL or MariaDB server from outside: its version, our schema there, and settings that are dangerous."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

from dtm.core.store import mysql_backlog_sql as backlog_sql
from dtm.core.store import mysql_sql as sql
from dtm.core.store.codec import STATUS_OF
from dtm.core.store.mysql_address import Address
from dtm.core.store.mysql_errors import NO_SUCH_DATABASE, StatementError
from dtm.core.store.mysql_pool import Connection, Row, connect
from dtm.core.store.mysql_schema import migrations, present_revision
from dtm.core.store.survey import Backlog, Survey, by_kind

CONNECTIONS = 13
"""What one coordinator needs at most."""

PACKET = 9 << 20
"""Bytes of the longest statement: a body of 4 MiB in hexadecimal digits, and what stands around it."""

_VARIABLES = (
    "binlog_format", "innodb_doublewrite", "innodb_flush_log_at_trx_commit", "innodb_read_only", "log_bin",
    "max_allowed_packet", "max_connections", "max_statement_time", "max_user_connections", "read_only",
    "super_read_only", "sync_binlog", "wsrep_on",
)  # fmt: skip
_LIST = ", ".join(f"'{name}'" for name in _VARIABLES)
SETTINGS = f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({_LIST})"
CLUSTER = "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_cluster_status', 'wsrep_ready', 'wsrep_cluster_size')"


async def survey(address: Address, timeout: float, offset: int) -> Survey:
    """Look at a server, over one connection; `timeout`: seconds for each step. StatementError."""
    try:
        db = await connect(address, timeout)
        there = True
    except StatementError as error:
        if error.code != NO_SUCH_DATABASE:
            raise
        db, there = await connect(address, timeout, into_database=False), False
    try:
        return await _look(db, address, timeout, offset, there=there)
    finally:
        await db.hang_up()


async def _look(db: Connection, address: Address, timeout: float, offset: int, *, there: bool) -> Survey:
    async def ask(query: str) -> Sequence[Row]:
        return (await db.run(query, timeout)).rows

    present, known = await present_revision(db, timeout) if there else 0, max(migrations())
    ((version, now),) = await ask(f"SELECT VERSION(), {sql.NOW}")
    variables = {name.lower(): value for name, value in await ask(SETTINGS)}
    cluster = {name.lower(): value for name, value in await ask(CLUSTER)} if _on(variables, "wsrep_on") else {}
    most = variables.get("max_connections", "?")
    facts = [("server", version), ("connections", f"up to {CONNECTIONS} for each coordinator, of {most}")]
    if cluster:
        facts.append(("cluster", f"Galera, {cluster.get('wsrep_cluster_size')} nodes"))
    if not there:
        facts.append(("database", f"{address.database} does not exist yet"))
    found = None
    versions: set[tuple[str, str]] = set()
    if present == known:
        versions = await unfinished_versions(ask)
        found = await backlog(ask, versions, offset)
    found_dangerous = tuple(dangers(version, variables, cluster))
    return Survey(str(address), present, known, now + offset, tuple(facts), found_dangerous, found, frozenset(versions))


async def backlog(
    ask: Callable[[str], Awaitable[Sequence[Row]]], versions: Iterable[tuple[str, str]], offset: int
) -> Backlog:
    """As the store's contract says; `versions`: all that are unfinished."""
    versions = list(versions)
    looked = await ask(backlog_sql.kinds(versions)) if versions else ()
    (due,) = await ask(backlog_sql.due_now(offset))
    found = [(versions[place][0], STATUS_OF[code], *rest) for place, code, *rest in looked]
    return Backlog(by_kind(found), *due)


async def unfinished_versions(ask: Callable[[str], Awaitable[Sequence[Row]]]) -> set[tuple[str, str]]:
    """As the store's contract says. The server would read the whole index; so we leap from one version to the next."""
    versions: set[tuple[str, str]] = set()
    after = ("", "")
    while rows := await ask(backlog_sql.next_versions(*after)):
        after = min((kind, version) for kind, version in rows)
        versions.add(after)
    return versions


def dangers(version: str, variables: Mapping[str, str], cluster: Mapping[str, str]) -> Iterator[str]:
    """What is dangerous on a server with this version, these settings, and this status as a node of a cluster."""
    yield from _of_the_version(version)
    yield from _of_the_settings(variables)
    yield from _of_the_cluster(cluster)


def _of_the_version(version: str) -> Iterator[str]:
    """MariaDB from 10.6 on and MySQL from 8.0.1 on know SKIP LOCKED; TiDB has its own numbers."""
    if "tidb" in version.lower():
        return
    maria = "mariadb" in version.lower()
    numbers = tuple(int(number) for number in re.findall(r"\d+", version.removeprefix("5.5.5-"))[:3])
    if numbers < ((10, 6) if maria else (8, 0, 1)):
        yield f"version {version} is too old: dtm needs MariaDB 10.6 or MySQL 8.0.1"


def _of_the_settings(variables: Mapping[str, str]) -> Iterator[str]:
    """What the server's settings endanger."""
    flush = variables.get("innodb_flush_log_at_trx_commit", "1")
    if flush != "1":
        yield (
            f"innodb_flush_log_at_trx_commit = {flush}: when the server or its machine crashes, transactions that were "
            "acknowledged are lost; set it to 1"
        )
    if variables.get("innodb_doublewrite", "ON").upper() in ("OFF", "0", "DETECT_ONLY"):
        yield "innodb_doublewrite is off: a power cut can leave torn pages that nothing repairs; switch it on"
    if _on(variables, "log_bin"):
        if variables.get("sync_binlog", "1") != "1":
            yield (
                f"sync_binlog = {variables['sync_binlog']}: after a crash the binary log, and so replicas and backups, "
                "may lack transactions that were acknowledged; set it to 1"
            )
        if variables.get("binlog_format", "").upper() == "STATEMENT":
            yield "binlog_format = STATEMENT: the server refuses dtm's writes (READ COMMITTED); use ROW or MIXED"
    packet = int(variables.get("max_allowed_packet", PACKET))
    if packet < PACKET:
        yield f"max_allowed_packet = {packet}: requests of up to 4 MiB cannot all be stored; set it to 16M"
    read_only = [name for name in ("read_only", "super_read_only", "innodb_read_only") if _on(variables, name)]
    if read_only:
        yield f"{' and '.join(read_only)}: this server takes no writes; a replica? use the primary"
    limit = float(variables.get("max_statement_time", 0))
    if limit:
        yield f"max_statement_time = {limit:g} s ends statements whatever db_timeout says, upgrades too; set it to 0"
    for name in ("max_connections", "max_user_connections"):
        if 0 < int(variables.get(name, 0)) < CONNECTIONS:
            yield f"{name} = {variables[name]}: each coordinator uses up to {CONNECTIONS} connections; raise it"


def _of_the_cluster(cluster: Mapping[str, str]) -> Iterator[str]:
    """What endangers coordinators on a Galera cluster."""
    if cluster and (cluster.get("wsrep_ready") == "OFF" or cluster.get("wsrep_cluster_status") != "Primary"):
        yield "wsrep: this node of the cluster is not part of its primary component, it takes no work"


def _on(variables: Mapping[str, str], name: str) -> bool:
    return variables.get(name, "OFF").upper() not in ("OFF", "0", "")
