"""A database that stalls, dies, or executes late what was sent: honest answers, and everything ends all the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from http.client import HTTPException
from typing import Any

import pytest

from dtm.core.store.mysql_sql import NEVER
from tests.support.cluster import LONGEST_LEASE, NAMES, Cluster, saga, until_called
from tests.support.mariadb import MariaDB, database_of
from tests.support.participants import Participants
from tests.support.threaded_proxy import ThreadedProxy
from tests.support.waiting import until
from tests.support.watching import Watching

New = Callable[[], str]
SLACK = 30
NO_ANSWER = 599
A_SAVE = b"UPDATE dtm_transaction FORCE INDEX (PRIMARY) SET updated_at"
A_LOOK = b"SELECT id, version FROM dtm_transaction"
AN_INSERT = b"INSERT INTO dtm_transaction"


@pytest.fixture(scope="module")
def proxies(mariadb: MariaDB) -> Iterator[dict[str, ThreadedProxy]]:
    """Each node's way to the database."""
    made = {name: ThreadedProxy(mariadb.port) for name in NAMES}
    yield made
    for proxy in made.values():
        proxy.close()


@pytest.fixture(scope="module")
def nodes(mariadb: MariaDB, proxies: dict[str, ThreadedProxy], tmp_path_factory: Any) -> Iterator[Cluster]:
    """Three nodes, each behind its proxy; a statement may take a second."""
    folder = tmp_path_factory.mktemp("behind-proxies")
    address = mariadb.url(database_of(folder))
    ways = {name: {"DTM_STORE": address.replace(str(mariadb.port), str(proxies[name].port))} for name in NAMES}
    with Cluster(folder, address, ways, DTM_DB_TIMEOUT="1") as cluster:
        yield cluster


@pytest.fixture
def watching() -> Iterator[Watching]:
    server = Watching(slow=0.1)
    yield server
    server.close()


def ready(nodes: Cluster) -> set[int]:
    """What /readyz says, of each node."""
    return {node.request("GET", "/readyz")[0] for node in nodes}


class Load:
    """Clients that submit transfers at random nodes, and ask again at another one until they know."""

    def __init__(self, nodes: Cluster, watching: Watching, gid: New) -> None:
        self.nodes, self.watching, self.gid = nodes, watching, gid
        self.first: dict[str, int] = {}
        """What each transfer's first request was answered."""
        self.last: dict[str, tuple[int, Any]] = {}
        self._stopping = threading.Event()
        self._end = ExitStack()

    def __enter__(self) -> Load:
        pool = self._end.enter_context(ThreadPoolExecutor(8))
        self._end.callback(self._stopping.set)
        self._clients = [pool.submit(self._client, number) for number in range(8)]
        return self

    def __exit__(self, *exc: Any) -> None:
        self._end.close()
        for client in self._clients:
            client.result()

    def check(self) -> None:
        """Whatever was accepted has ended as it must; nothing that may have been stored was answered by a 4xx."""
        assert {status for status, _ in self.last.values()} <= {200, 409}
        assert set(self.first.values()) <= {200, 425, 500, 503, NO_ANSWER}, "no client repeats itself: no 409"
        endings = self.nodes.until_all_final(self.last, within=LONGEST_LEASE + SLACK)
        assert set(endings.values()) == {"succeed"}
        self.watching.check(endings)
        assert self.watching.stale(set(endings)) == []

    def _client(self, number: int) -> None:
        while not self._stopping.is_set():
            body = self.watching.transfer(self.gid(), wait_result=number == 0)
            answer = self._ask(body)
            self.first[body["gid"]] = answer[0]
            deadline = time.monotonic() + 60
            while answer[0] >= 425 and time.monotonic() < deadline:
                time.sleep(0.1)
                answer = self._ask(body)
            self.last[body["gid"]] = answer
            time.sleep(0.05)

    def _ask(self, body: dict[str, Any]) -> tuple[int, Any]:
        try:
            return self.nodes.any().post("submit", body)
        except (OSError, HTTPException):
            return NO_ANSWER, None


def test_it_stalls(nodes: Cluster, proxies: dict[str, ThreadedProxy], watching: Watching, gid: New) -> None:
    """For longer than a statement may take and leases last: 503 or 500 meanwhile, then all goes on by itself."""
    with Load(nodes, watching, gid) as load:
        until(lambda: len(load.last) > 20)
        for proxy in proxies.values():
            proxy.stall()
        until(lambda: ready(nodes) == {503}, within=SLACK)
        time.sleep(LONGEST_LEASE)
        for proxy in proxies.values():
            proxy.flow()
        until(lambda: ready(nodes) == {200}, within=SLACK)
        known = len(load.last)
        until(lambda: len(load.last) > known + 20, within=SLACK)
    assert {500, 503} & set(load.first.values())
    load.check()


def test_it_is_killed(nodes: Cluster, mariadb: MariaDB, watching: Watching, gid: New) -> None:
    """kill -9 and a restart under load: the same."""
    with Load(nodes, watching, gid) as load:
        until(lambda: len(load.last) > 20)
        mariadb.kill()
        until(lambda: ready(nodes) == {503}, within=SLACK)
        mariadb.start()
        until(lambda: ready(nodes) == {200}, within=SLACK)
        known = len(load.last)
        until(lambda: len(load.last) > known + 20, within=SLACK)
    load.check()


def test_one_node_is_cut_off(
    nodes: Cluster, proxies: dict[str, ThreadedProxy], participants: Participants, gid: New
) -> None:
    """It lives, but its leases run out: it begins nothing more, the others go on, what it has learned is void."""
    names = [gid() for _ in range(5)]
    participants.delay("slow", 1)
    for name in names:
        assert nodes["a"].post("submit", saga(participants, name, "slow", name))[0] == 200
        until_called(participants, name)
    proxies["a"].stall()
    try:
        endings = nodes.until_all_final(names, within=LONGEST_LEASE + SLACK)
        assert nodes["a"].request("GET", "/readyz")[0] == 503
    finally:
        proxies["a"].flow()
    until(lambda: ready(nodes) == {200}, within=SLACK)
    assert set(endings.values()) == {"succeed"}
    for name in names:
        second = [call for call in participants.of(name) if call.startswith("action 02")]
        assert 1 <= len(second) <= 2, "more than one stale call"


def test_paused_in_the_middle_of_a_statement(
    nodes: Cluster, proxies: dict[str, ThreadedProxy], participants: Participants, gid: New
) -> None:
    """SIGSTOP while statements are on their way; the others take over; then these arrive, and the node wakes up.

    A look, the last thing before a call, tells that the row is another's now. A save finds another version. An insert
    gives the row to a node that sleeps, and that finds it taken when it awakes.
    """
    proxy = proxies["a"]
    participants.delay("old", 1.2)  # so long that its row has to be looked at before the next call
    participants.delay("z", 0.5)  # x and y are saved while z is called
    steps = {A_LOOK: ("old", "y"), A_SAVE: ("x", "y", "z"), AN_INSERT: ("x", "y")}
    names = {held: gid() for held in steps}
    with ThreadPoolExecutor(len(steps)) as pool:
        answers = []
        for held, paths in steps.items():
            proxy.hold(held)
            answers.append(pool.submit(nodes["a"].post, "submit", saga(participants, names[held], *paths)))
            until(lambda held=held: proxy.holds(held))
        nodes.pause("a")
        try:
            proxy.let_go(AN_INSERT)  # it is stored now, with a lease that nobody keeps
            endings = nodes.until_all_final(names.values(), within=LONGEST_LEASE + SLACK)
            before = [nodes["b"].query(name) for name in names.values()]
        finally:
            proxy.let_go(A_LOOK)
            proxy.let_go(A_SAVE)
            time.sleep(0.5)
            nodes.resume("a")
        assert {answer.result()[0] for answer in answers} <= {200, 500}, "they are stored, or nobody could tell"
    until(lambda: ready(nodes) == {200}, within=SLACK)
    assert nodes["a"].post("submit", saga(participants, gid(), "last"), wait_result=1)[0] == 200
    assert [nodes["c"].query(name) for name in names.values()] == before
    assert set(endings.values()) == {"succeed"}
    for held, paths in steps.items():
        calls = participants.of(names[held])
        assert {call.split()[-1] for call in calls} == set(paths)
        assert all(calls.count(call) <= 2 for call in calls)
    assert participants.of(names[AN_INSERT]) == ["action 01 POST x", "action 02 POST y"]


def test_it_has_lost_commits(nodes: Cluster, mariadb: MariaDB, participants: Participants, gid: New) -> None:
    """A fail-over to an older state while they run: they stop, loudly, until an operator has looked (I-FO-2)."""
    reset, given_up = gid(), gid()
    both = f"gid IN (x'{reset.encode().hex()}', x'{given_up.encode().hex()}')"
    run = partial(mariadb.run, database=database_of(nodes.nodes["a"].folder.parent))
    participants.delay("x", 1.5)
    participants.delay("y", 3)
    bodies = [saga(participants, name, "x", "y", "z", request_timeout=20) for name in (reset, given_up)]
    for body in bodies:
        assert nodes["a"].post("submit", body)[0] == 200
    run(f"CREATE TABLE older AS SELECT * FROM dtm_transaction WHERE {both}")
    for name in (reset, given_up):
        until_called(participants, name, 2)
        until(lambda name=name: nodes["b"].query(name)["branches"][1]["status"] == "succeed")
    run("REPLACE INTO dtm_transaction SELECT * FROM older")
    for body in bodies:
        name = body["gid"]
        until(lambda name=name: "lost commits" in nodes["c"].query(name)["transaction"].get("trouble", ""), SLACK)
        for node in nodes:
            status, said = node.post("submit", body)
            assert (status, said["status"]) == (409, "submitted")
            assert "stopped until an operator decides" in said["message"]
            assert node.post("abort", {"gid": name})[0] == 409
        assert participants.of(name) == ["action 01 POST x", "action 02 POST y"]
    assert nodes.log("a").count("stopped, the database has lost commits") == 2
    assert nodes["b"].post("resetCronTime", timeout=0.001, limit=1000)[0] == 200
    assert run(f"SELECT owner, due_at, doubt FROM dtm_transaction WHERE {both}") == (("", NEVER, 1),) * 2
    assert nodes["c"].post("forceStop", {"gid": given_up})[0] == 200
    assert nodes["c"].post("resetNextCronTime", {"gid": reset})[0] == 200
    assert nodes["a"].until_final(reset) == "succeed"
    assert nodes["a"].until_final(given_up) == "failed"
    assert participants.of(reset)[2:] == ["action 01 POST x", "action 02 POST y", "action 03 POST z"]
    assert participants.of(given_up) == ["action 01 POST x", "action 02 POST y"]
