"""Transactions whose coordinator is killed at one moment of all that it exchanges with database and participants."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

from tests.support.bank import Bank, written_down
from tests.support.careful import Careful
from tests.support.client import Client
from tests.support.crossing import Crossing
from tests.support.history import AUDIT, FINAL, History, Leg, Recorder, Transfer
from tests.support.mariadb import MariaDB, database_of
from tests.support.nursery import Child, Nursery

FORMS = ("restarted", "taken over")
STANDS = 12
"""Points that are played at a time: most of it is waiting for leases to run out."""

SUCCEEDS, FAILS = frozenset({"succeed"}), frozenset({"failed"})
PAYER, PAYEE, CLOSED = Leg(0, "payer", -1), Leg(1, "payee", 1), Leg(1, "closed", 1)
ACCOUNTS = [{"payer": 1_000_000}, {"payee": 0, "closed": 0}]

NODE = {
    "DTM_LEASE": "2", "DTM_REQUEST_TIMEOUT": "1", "DTM_RETRY_INTERVAL": "0.2", "DTM_RETRY_INTERVAL_MAX": "0.5",
    "DTM_POLL_INTERVAL": "0.2",
}  # fmt: skip
VICTIM = NODE | {"DTM_POLL_INTERVAL": "60", "DTM_WRITE_BEHIND": "10"}
"""It says nothing of its own accord, so that moments can be numbered."""


@dataclass(frozen=True)
class Scenario:
    """endings: how it may end. timeout_to_fail: in seconds, of what is prepared."""

    name: str
    mode: str
    legs: tuple[Leg, ...]
    endings: frozenset[str]
    quirk: str = ""
    timeout_to_fail: int = 30


SCENARIOS = (
    Scenario("saga", "saga", (PAYER, PAYEE), SUCCEEDS),
    Scenario("saga that aborts", "saga", (PAYER, CLOSED), FAILS),
    Scenario("tcc", "tcc", (PAYER, PAYEE), SUCCEEDS),
    Scenario("tcc that aborts", "tcc", (PAYER, CLOSED), FAILS),
    Scenario("msg", "msg", (PAYER, PAYEE), SUCCEEDS),
    # Killed before its client knows that it is stored, it may have timed out when the client asks again: then nothing
    # has happened, and its local transaction is refused.
    Scenario("msg asked for", "msg", (PAYER, PAYEE), FINAL, quirk="dies", timeout_to_fail=1),
)


@dataclass(frozen=True)
class Point:
    """at: the number of the moment; 0: nobody is killed."""

    scenario: Scenario
    form: str
    at: int

    @property
    def transfer(self) -> Transfer:
        """What the client wants. It waits for the result where another node takes over, else it does not."""
        s = self.scenario
        gid = f"{s.name}-{self.form}-{self.at}".replace(" ", "-")
        return Transfer(gid, s.mode, s.legs, wait=self.form == "taken over", quirk=s.quirk)


class Stand:
    """A database, a crossing before it and the banks, and a node that sleeps until it is to take over."""

    def __init__(self, folder: Path, nursery: Nursery, server: MariaDB, banks: list[Bank], recorder: Recorder) -> None:
        self.folder = folder
        self.database = database_of(folder)
        self._nursery = nursery
        self._server = server
        self._banks = banks
        self._recorder = recorder
        self._store = server.url(self.database)
        self._crossing = Crossing([server.port, *(bank.port for bank in banks)])
        self._survivor = nursery.bear(folder, **NODE, DTM_STORE=self._store)
        self._survivor.signal(signal.SIGSTOP)
        self._connection = server.connect(self.database)
        for statement in AUDIT:
            self.query(statement)

    def close(self) -> None:
        """Take it down."""
        self._connection.close()
        self._survivor.bury()
        self._crossing.close()

    def query(self, statement: str) -> list[tuple]:
        """In this database, as the administrator."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def play(self, point: Point) -> int:
        """Play a transaction to its end; how many moments were seen, 0 when its own did not come."""
        to_database, *to_banks = self._crossing.ports
        store = self._store.replace(f":{self._server.port}/", f":{to_database}/")
        nodes = [self._nursery.bear(self.folder, **VICTIM, DTM_STORE=store)]
        dead = threading.Event()

        def strike() -> None:
            nodes[0].signal(signal.SIGKILL)
            if point.form == "taken over":
                self._survivor.signal(signal.SIGCONT)
            dead.set()

        def choose() -> tuple[str, Client]:
            if not dead.is_set():
                return "victim", nodes[0].client
            if point.form == "taken over":
                return "survivor", self._survivor.client
            if len(nodes) == 1:
                nodes.append(self._nursery.bear(self.folder, **NODE, DTM_STORE=self._store))
            return "restarted", nodes[1].client

        paths = [urlsplit(bank.url("")).path for bank in self._banks]
        urls = [f"http://127.0.0.1:{port}{path}" for port, path in zip(to_banks, paths, strict=True)]
        client = Careful(
            choose, self._banks, self._recorder, urls=urls, timeout_to_fail=point.scenario.timeout_to_fail
        )  # fmt: skip
        self._crossing.watch(point.at, strike)
        try:
            client.carry_out(point.transfer)
            self._until_final(point.transfer.gid, choose)
            return self._crossing.moments if self._crossing.rest() or not point.at else 0
        finally:
            self._take_away(nodes)

    def _until_final(self, gid: str, choose: Callable[[], object], within: float = 60) -> None:
        """By the database's word. A moment may come when the client is gone: then, too, somebody restarts the node."""
        deadline = time.monotonic() + within
        while not self.query(f"SELECT 1 FROM dtm_transaction WHERE gid = '{gid}' AND status >= 4 AND owner = ''"):
            assert time.monotonic() < deadline, f"{gid} does not end"
            choose()
            time.sleep(0.05)
        time.sleep(0.05)  # for the answer of that very commit to pass

    def _take_away(self, nodes: list[Child]) -> None:
        self._survivor.signal(signal.SIGSTOP)
        for node in nodes:
            node.bury()


class Play:
    """Plays points on several stands at a time, on one MariaDB; then there is a history."""

    def __init__(self, folder: Path, server: MariaDB) -> None:
        ticks = itertools.count(1)
        self.recorder = Recorder()
        self.transfers: list[Transfer] = []
        self.banks = [
            Bank(f"bank {n}", folder / f"bank-{n}.db", accounts, ticks=ticks) for n, accounts in enumerate(ACCOUNTS)
        ]
        self.nursery = Nursery()
        folders = [folder / f"stand-{number}" for number in range(STANDS)]
        for each in folders:
            each.mkdir()
        with ThreadPoolExecutor(STANDS) as pool:
            self.stands = list(
                pool.map(lambda each: Stand(each, self.nursery, server, self.banks, self.recorder), folders)
            )

    def play(self, points: Iterable[Point]) -> dict[Point, int]:
        """Each point, and how many moments it saw."""
        queue: SimpleQueue[Point] = SimpleQueue()
        for point in points:
            queue.put(point)
            self.transfers.append(point.transfer)
        seen: dict[Point, int] = {}

        def work(stand: Stand) -> None:
            for point in iter(lambda: _next(queue), None):
                seen[point] = stand.play(point)

        with ThreadPoolExecutor(STANDS) as pool:
            list(pool.map(work, self.stands))
        return seen

    def close(self) -> None:
        """Take everything down."""
        for stand in self.stands:
            stand.close()
        for bank in self.banks:
            bank.close()
        self.nursery.close()

    def history(self) -> History:
        """Of everything that was played."""
        return written_down(self.banks, self.recorder, self.transfers, [stand.query for stand in self.stands])


def _next(queue: SimpleQueue[Point]) -> Point | None:
    try:
        return queue.get_nowait()
    except Empty:
        return None
