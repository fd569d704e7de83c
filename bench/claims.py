"""What claims cost in a large table, and how fast a backlog drains: `make bench-claims`, explained in README.md."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.request import Request, urlopen

from bench.load import Load
from bench.participants import nginx
from bench.processes import Process
from bench.subjects import OnMariaDB, Running
from dtm.core.model import Status
from dtm.core.store import mysql_sql as sql
from dtm.core.store.codec import STATUS_CODE
from dtm.core.store.mysql import MysqlStore
from tests.support.mariadb import MariaDB, database_of

BATCH = 100
LEASE = 3600.0
SMALL = 10_000
CONNECTIONS = 64
MOST = 2.0
"""How many times what a claim costs among SMALL rows it may cost among many."""
LEAST = 0.8
"""How much of the steady rate the backlog must drain at."""
DOWN = "http://127.0.0.1:9"
"""Nobody listens there: a saga that calls it is parked."""

COLUMNS = "trans_type, protocol_version, version, owner, doubt, created_at, updated_at, state"
FILL = f"""
    INSERT INTO {{into}}.dtm_transaction (id, gid, request, status, due_at, finished_at, {COLUMNS})
    SELECT seq + {{first}}, CONCAT('{{name}}-', seq), REPLACE(REPLACE(request, '{{gid}}', CONCAT('{{name}}-', seq)),
        '{DOWN}', '{{url}}'), {{status}}, {{due_at}}, {{finished_at}}, {COLUMNS}
    FROM {{template}}.dtm_transaction CROSS JOIN seq_1_to_{{rows}}"""  # noqa: S608 - names and numbers of ours


class Table:
    """A database with the tables of dtm, and rows that are copies of one parked saga."""

    def __init__(self, server: MariaDB, folder: Path, template: Table | None = None) -> None:
        self.server, self.folder, self.template = server, folder, template
        self.name = database_of(folder)

    async def make(self) -> None:
        """Make the tables."""
        store = MysqlStore(self.server.url(self.name))
        await store.open()
        await store.close()

    def fill(self, name: str, rows: int, first: int, url: str, *, finished: bool) -> None:
        """More rows: overdue, a millisecond apart, or finished."""
        assert self.template is not None
        ((gid,),) = self.server.run("SELECT gid FROM dtm_transaction", database=self.template.name)
        time_of = f"{sql.NOW} - 10000000 + seq"
        values = {
            "into": self.name,
            "template": self.template.name,
            "gid": gid.decode(),
            "name": name,
            "rows": rows,
            "first": first,
            "url": url,
            "status": STATUS_CODE[Status.SUCCEED if finished else Status.SUBMITTED],
            "due_at": sql.NEVER if finished else time_of,
            "finished_at": time_of if finished else sql.NEVER,
        }
        self.server.run(FILL.format(**values), database=self.name)

    def one(self, query: str) -> int:
        """The number that a query returns."""
        ((value,),) = self.server.run(query, database=self.name)
        return int(value)


def parked(server: MariaDB, folder: Path) -> Table:
    """A table with one saga of two branches, parked by a real coordinator."""
    coordinator = OnMariaDB(folder, server, DTM_RETRY_INTERVAL="0.5")
    table = Table(server, folder)
    step = {"action": f"{DOWN}/action", "compensate": f"{DOWN}/undo"}
    body = {"gid": "template", "trans_type": "saga", "steps": [step, step], "payloads": ['{"amount":30}'] * 2}
    with urlopen(Request(f"{coordinator.url}/api/dtmsvr/submit", json.dumps(body).encode())) as reply:
        reply.read()
    while not table.one("SELECT count(*) FROM dtm_transaction WHERE owner = ''"):
        time.sleep(0.05)
    coordinator.stop()
    return table


async def cost_of_claims(tables: Sequence[Table], rounds: int) -> list[tuple[float, float]]:
    """Claim in turn from each table; per table the median in ms, and how much the server read for one."""
    stores = [MysqlStore(table.server.url(table.name), db_timeout=60.0) for table in tables]
    took: list[list[float]] = [[] for _ in tables]
    reads = [0] * len(tables)
    for store in stores:
        await store.open()
        await store.claim_due("warm-up", BATCH, LEASE)
    for number in range(rounds * len(tables)):
        which = number % len(tables)
        before, began = handler_reads(tables[which]), time.perf_counter()
        claims = await stores[which].claim_due(f"node-{number}", BATCH, LEASE)
        took[which].append(1000 * (time.perf_counter() - began))
        reads[which] += handler_reads(tables[which]) - before
        if len(claims) != BATCH:
            raise SystemExit(f"bench: {len(claims)} rows were claimed instead of {BATCH}")
    for store in stores:
        await store.close()
    return [(statistics.median(times), count / rounds) for times, count in zip(took, reads, strict=True)]


def handler_reads(table: Table) -> int:
    """Rows and index entries that the server has read so far."""
    counters = table.server.run("SHOW GLOBAL STATUS LIKE 'Handler_read%'")
    return sum(int(value) for _, value in counters)


def claims(server: MariaDB, folder: Path, template: Table, rows: int, rounds: int) -> float:
    """Print what a claim costs in a small and in a large table; the ratio."""
    tables = [Table(server, folder / name, template) for name in ("small", "large")]
    for table, number in zip(tables, (SMALL, rows), strict=True):
        began = time.monotonic()
        asyncio.run(table.make())
        table.fill("due", number, 0, DOWN, finished=False)
        table.fill("done", number, number, DOWN, finished=True)
        server.run("ANALYZE TABLE dtm_transaction", database=table.name)
        print(f"{number} due rows and {number} finished ones: made in {time.monotonic() - began:.0f} s")
    statement = sql.claim("node", BATCH, horizon=0, lease=1, offset=0, tag=1)
    for row in server.run(f"EXPLAIN {statement}", database=tables[1].name):
        print("EXPLAIN", *row)
    measured = asyncio.run(cost_of_claims(tables, rounds))
    for table, number, (median, reads) in zip(tables, (SMALL, rows), measured, strict=True):
        print(f"claim of {BATCH} among {number:>9}: {median:8.2f} ms, {reads:.0f} reads   ({table.folder.name})")
    return measured[1][0] / measured[0][0]


def steady(server: MariaDB, folder: Path, participant: Process, url: str, seconds: float) -> tuple[float, float]:
    """Fresh sagas from CONNECTIONS clients that wait for their ends: per second, and processor us each."""
    coordinator = OnMariaDB(folder, server)
    counted = [*coordinator.processes.values(), participant]
    before = sum(process.cpu() for process in counted)
    result = Load(CONNECTIONS, seconds).run(coordinator.url, url)
    used = sum(process.cpu() for process in counted) - before
    coordinator.stop()
    return result.rate, 1e6 * used / result.transactions


def drain(table: Table, participant: Process, url: str, rows: int) -> tuple[float, float]:
    """A coordinator that starts on so many overdue sagas: ended per second, and processor us each."""
    asyncio.run(table.make())
    table.fill("due", rows, 0, url, finished=False)
    others = [Running(table.server), participant]
    before = sum(process.cpu() for process in others)
    coordinator = OnMariaDB(table.folder, table.server)
    began = time.monotonic()
    one = f"SELECT 1 FROM dtm_transaction WHERE finished_at = {sql.NEVER} LIMIT 1"  # noqa: S608 - a number
    unfinished = f"SELECT count(*) FROM ({one}) AS one"  # noqa: S608 - the query above
    while table.one(unfinished):
        time.sleep(0.05)
    took = time.monotonic() - began
    used = sum(process.cpu() for process in (*others, coordinator.processes["dtm"])) - before
    coordinator.stop()
    ended = f"SELECT count(*) FROM dtm_transaction WHERE status = {STATUS_CODE[Status.SUCCEED]}"  # noqa: S608 - a number
    succeeded = table.one(ended)
    if succeeded != rows:
        raise SystemExit(f"bench: {rows - succeeded} of {rows} sagas did not succeed")
    return rows / took, 1e6 * used / rows


def draining(server: MariaDB, folder: Path, template: Table, rows: int, seconds: float) -> float:
    """Print how fast a backlog drains, between two measurements of the steady rate; the ratio."""
    participant, url = nginx(folder)
    try:
        rates = [steady(server, folder / "steady", participant, url, seconds)]
        rates.append(drain(Table(server, folder / "drain", template), participant, url, rows))
        rates.append(steady(server, folder / "steady", participant, url, seconds))
    finally:
        participant.stop()
    for name, (rate, used) in zip(("steady", f"drain of {rows}", "steady"), rates, strict=True):
        print(f"{name:>20}: {rate:8.0f} sagas/s, {used:6.0f} CPU us each")
    return rates[1][0] / statistics.mean((rates[0][0], rates[2][0]))


def main() -> None:
    """Measure both, and fail when one misses its mark."""
    parser = argparse.ArgumentParser(prog="python -m bench.claims", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="due rows of the large table, and finished ones")
    parser.add_argument("--rounds", type=int, default=40, help="claims from each table")
    parser.add_argument("--overdue", type=int, default=100_000, help="transactions that are to drain")
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement of the steady rate")
    told = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="dtm-bench-"))
    server = MariaDB(folder, "--innodb-buffer-pool-size=2G", "--innodb-log-file-size=512M").start()
    try:
        template = parked(server, folder / "template")
        cost = claims(server, folder, template, told.rows, told.rounds)
        speed = draining(server, folder, template, told.overdue, told.seconds)
    finally:
        server.stop()
        shutil.rmtree(folder)
    print(f"a claim among {told.rows} costs {cost:.2f} times what it costs among {SMALL} (at most {MOST})")
    print(f"the backlog drains at {speed:.2f} of the steady rate (at least {LEAST})")
    if cost > MOST or speed < LEAST:
        raise SystemExit("bench: missed")


if __name__ == "__main__":
    main()
