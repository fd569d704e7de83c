"""One run of the bank: three nodes on a MariaDB, three banks, many clients, and whatever befalls them."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from tests.support.bank import Bank, Desk, written_down
from tests.support.bank_nemesis import Nemesis, blows_to_a_node, blows_to_the_database
from tests.support.bank_workload import BANKS, accounts, transfers
from tests.support.careful import Careful
from tests.support.client import Client
from tests.support.coordinator import Coordinator
from tests.support.history import AUDIT, History, Recorder, Transfer
from tests.support.mariadb import MariaDB, database_of

NODES = 3
CLIENTS = 24
CLIENT_TIMEOUT = 10


@dataclass(frozen=True)
class Plan:
    """count transfers, begun evenly over `seconds`; gaps: seconds of peace on average, 0: nothing befalls anybody.

    lease: of the nodes, request_timeout: of their calls, timeout_to_fail: of each tcc and msg. quiet: how long
    everything may take to end when the nemesis has stopped.
    """

    seed: int
    count: int
    seconds: float
    gap_of_nodes: float = 0
    gap_of_the_database: float = 0
    gap_of_services: float = 0
    lease: int = 4
    request_timeout: int = 2
    timeout_to_fail: int = 5
    quiet: float = 60


@dataclass
class Run:
    """What a run leaves: its history, and how often what befell whom."""

    history: History
    blows: Counter[str] = field(default_factory=Counter)

    def summary(self) -> list[str]:
        """What it was made of, a line a subject."""
        h = self.history
        ends = Counter(row.status for row in h.rows.values())
        calls = [call for calls in h.of.values() for call in calls if call.op != "msg"]
        branches = {(call.gid, call.branch_id, call.op) for call in calls}
        overs = [change for change in h.changes if change.taken_over]
        refused = len(h.transfers) - ends["succeed"]
        unknown = sum(event.kind == "info" for event in h.events)
        return [
            f"transfers {len(h.transfers)}, succeeded {ends['succeed']}, refused or given up {refused}",
            f"modes: {dict(Counter(transfer.mode for transfer in h.transfers.values()))}",
            f"blows: {dict(self.blows)}; outcomes that a client did not know: {unknown}",
            f"take-overs {len(overs)}, of them in doubt {sum(change.claimed_doubt for change in overs)}",
            f"calls per branch {len(calls) / len(branches):.3f} ({len(calls)} calls, {len(branches)} branches)",
        ]


class BankRun:
    """Sets everything up, runs a plan, takes everything down; `folder` is its own."""

    def __init__(self, plan: Plan, server: MariaDB, folder: Path) -> None:
        self.plan = plan
        self.server = server
        self.rng = random.Random(plan.seed)
        self.recorder = Recorder()
        self.database = database_of(folder)
        self.banks = self.make_banks(folder)
        self.nodes = {f"node {number}": self._node(folder / f"node-{number}") for number in range(NODES)}

    def make_banks(self, folder: Path) -> Sequence[Desk]:
        """The banks, not running yet beyond their desks."""
        return [
            Bank(f"bank {number}", folder / f"bank-{number}.db", accounts(number), **habits)
            for number, habits in enumerate(self.habits())
        ]

    def habits(self) -> Iterator[dict[str, Any]]:
        """What the desk of each bank is like."""
        ticks = itertools.count(1)
        moody, slow = (0.03, 0.3) if self.plan.gap_of_nodes else (0, 0.02)
        for _ in range(BANKS):
            yield {"ticks": ticks, "rng": random.Random(self.rng.random()), "moody": moody, "slow": slow}

    def make_client(self) -> Careful:
        """What all clients use."""
        return Careful(self._chooser(), self.banks, self.recorder, timeout_to_fail=self.plan.timeout_to_fail)

    def _node(self, folder: Path) -> Coordinator:
        folder.mkdir()
        return Coordinator(
            folder,
            DTM_STORE=self.server.url(self.database),
            DTM_LEASE=str(self.plan.lease),
            DTM_REQUEST_TIMEOUT=str(self.plan.request_timeout),
            DTM_RETRY_INTERVAL="0.2",
            DTM_RETRY_INTERVAL_MAX="1",
            DTM_POLL_INTERVAL="0.2",
            DTM_DB_TIMEOUT="2",
            DTM_SHUTDOWN_GRACE="2",
        )

    def run(self) -> Run:
        """Everything, from the first start to the history."""
        nemesis = Nemesis(self.recorder)
        try:
            for node in self.nodes.values():
                node.start()
            for bank in self.banks:
                bank.begin()
            for statement in AUDIT:
                self.server.run(statement, database=self.database)
            wanted = transfers(self.rng, self.plan.count, f"t{self.plan.seed}")
            self.strike(nemesis)
            self._serve_clients(wanted, nemesis)
            self._until_quiet()
            for node in self.nodes.values():
                node.terminate()
        finally:
            for node in self.nodes.values():
                node.kill()
            for bank in self.banks:
                bank.close()
        query = partial(self.server.run, database=self.database)
        return Run(written_down(self.banks, self.recorder, wanted, [query]), Counter(nemesis.counts))

    def strike(self, nemesis: Nemesis) -> None:
        """Let happen what the plan has in store."""
        plan = self.plan
        if plan.gap_of_nodes:
            for name, node in self.nodes.items():
                rng = random.Random(self.rng.random())
                nemesis.strike_node(name, node, blows_to_a_node(rng, plan.seconds, plan.gap_of_nodes, plan.lease))
        if plan.gap_of_the_database:
            rng = random.Random(self.rng.random())
            nemesis.strike_database(self.server, blows_to_the_database(rng, plan.seconds, plan.gap_of_the_database))

    def _serve_clients(self, wanted: list[Transfer], nemesis: Nemesis) -> None:
        """Each transfer is begun in its turn; when the time is over, peace comes, and clients end what they began."""
        queue: SimpleQueue[tuple[float, Transfer]] = SimpleQueue()
        began = time.monotonic()
        for number, transfer in enumerate(wanted):
            queue.put((began + number * self.plan.seconds / len(wanted), transfer))
        careful = self.make_client()
        clients = [threading.Thread(target=self._client, args=(queue, careful), daemon=True) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        time.sleep(max(0, began + self.plan.seconds - time.monotonic()))
        try:
            nemesis.stop()
            deadline = time.monotonic() + self.plan.quiet
            for client in clients:
                client.join(max(0, deadline - time.monotonic()))
            assert not any(client.is_alive() for client in clients), f"still waiting: {self.recorder.events[-5:]}"
        finally:
            careful.give_up()

    def _client(self, queue: SimpleQueue[tuple[float, Transfer]], careful: Careful) -> None:
        while True:
            try:
                at, transfer = queue.get_nowait()
            except Empty:
                return
            time.sleep(max(0, at - time.monotonic()))
            careful.carry_out(transfer)

    def _chooser(self) -> Callable[[], tuple[str, Client]]:
        rng, lock = random.Random(self.rng.random()), threading.Lock()

        def choose() -> tuple[str, Client]:
            with lock:
                name = rng.choice(list(self.nodes))
            return name, Client(self.nodes[name].url, timeout=CLIENT_TIMEOUT)

        return choose

    def _until_quiet(self) -> None:
        """Until everything has ended, by the database's word."""
        deadline = time.monotonic() + self.plan.quiet
        unfinished = "SELECT gid, status, owner FROM dtm_transaction WHERE status < 4 OR owner <> '' LIMIT 5"
        while left := self.server.run(unfinished, database=self.database):
            assert time.monotonic() < deadline, f"they do not end: {left}"
            time.sleep(0.2)
