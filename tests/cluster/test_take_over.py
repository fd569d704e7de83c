"""Nodes that die, stop for a while, or are told to go: the others take their work over, and nothing is done wrong."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPException
from typing import Any

import pytest

from tests.support.cluster import LONGEST_LEASE, Cluster, saga, until_called
from tests.support.mariadb import MariaDB, database_of
from tests.support.participants import Participants
from tests.support.watching import Watching

New = Callable[[], str]
SLACK = 20
"""Seconds that a busy machine may need beyond a lease and a poll."""


@pytest.fixture
def watching() -> Iterator[Watching]:
    server = Watching(slow=0.2)
    yield server
    server.close()


def test_a_dead_node(nodes: Cluster, participants: Participants, watching: Watching, gid: New) -> None:
    """kill -9 in the midst of it: taken over once its leases are over, doubt honoured: nothing is undone too little."""
    hung, load = gid(), [gid() for _ in range(30)]
    refused = set(load[::3])
    participants.delay("hangs", 60)
    assert nodes["a"].post("submit", saga(participants, hung, "hangs", "never"))[0] == 200
    until_called(participants, hung)
    for name in load:
        assert nodes["a"].post("submit", watching.transfer(name, refused=name in refused))[0] == 200
    until_called(watching, load[-1])
    nodes.kill("a")
    try:
        assert nodes["b"].post("abort", {"gid": hung})[0] == 200
        endings = nodes.until_all_final([hung, *load], within=LONGEST_LEASE + SLACK)
    finally:
        nodes.nodes["a"].start()
    assert {name for name, ending in endings.items() if ending == "failed"} == {hung, *refused}
    # Of `never` nobody knows but the dead one: it is undone, though it was not begun.
    undone = ["compensate 02 POST never-undo", "compensate 01 POST hangs-undo"]
    assert participants.of(hung) == ["action 01 POST hangs", *undone]
    watching.check({name: endings[name] for name in load})
    assert "taken over in doubt" in nodes.log("b") + nodes.log("c")


def test_a_paused_node(nodes: Cluster, watching: Watching, gid: New) -> None:
    """SIGSTOP for longer than its leases: when it wakes up it makes one stale call per branch and operation at most,
    which its epoch gives away, and no answer that it hears counts any more (I-LEASE-1 to 3)."""
    load = [gid() for _ in range(30)]
    refused = set(load[::3])
    for name in load:
        assert nodes["a"].post("submit", watching.transfer(name, refused=name in refused))[0] == 200
    until_called(watching, load[-1])
    nodes.pause("a")
    try:
        endings = nodes.until_all_final(load, within=LONGEST_LEASE + SLACK)
        before = {name: nodes["b"].query(name) for name in load}
    finally:
        nodes.resume("a")
    after = gid()
    assert nodes["a"].post("submit", watching.transfer(after), wait_result=1)[0] == 200  # it is awake, and has looked
    time.sleep(2)
    assert {name: nodes["c"].query(name) for name in load} == before
    assert {name for name, ending in endings.items() if ending == "failed"} == refused
    watching.check(endings)
    stale = [(span.gid, span.branch_id, span.op) for span in watching.stale(set(load))]
    assert len(stale) == len(set(stale))


def test_a_node_told_to_stop(nodes: Cluster, mariadb: MariaDB, watching: Watching, gid: New) -> None:
    """SIGTERM under load: clients that try once more, at another node, know all outcomes; its work goes on elsewhere
    without waiting for a lease (I-RES-2)."""
    stopping = threading.Event()
    answers: dict[str, tuple[int, Any]] = {}

    def submit(body: dict[str, Any], first: str, then: str) -> tuple[int, Any]:
        try:
            status, said = nodes[first].post("submit", body)
        except (OSError, HTTPException):
            status, said = 599, None
        return nodes[then].post("submit", body) if status >= 500 else (status, said)

    def client(number: int) -> None:
        while not stopping.is_set():
            body = watching.transfer(gid(), wait_result=bool(number % 2))
            answers[body["gid"]] = submit(body, random.choice("abc"), random.choice("bc"))

    with ExitStack() as end, ThreadPoolExecutor(12) as pool:
        end.callback(stopping.set)
        clients = [pool.submit(client, number) for number in range(12)]
        until_some = len(watching.calls) + 100
        while len(watching.calls) < until_some:
            time.sleep(0.05)
        name = re.findall(r"started: node (\w+)", nodes.log("a"))[-1]
        assert nodes.nodes["a"].terminate(within=60) == 0
        held = f"SELECT gid FROM dtm_transaction WHERE owner LIKE '{name}-%'"
        assert mariadb.run(held, database=database_of(nodes.nodes["a"].folder.parent)) == ()
        time.sleep(1)
        stopping.set()
        for each in clients:
            each.result()
    nodes.nodes["a"].start()
    assert {status for status, _ in answers.values()} <= {200, 409, 425}
    assert {said.get("status", "succeed") for status, said in answers.values() if status == 409} <= {
        "succeed", "submitted",
    }  # fmt: skip
    endings = nodes.until_all_final(answers, within=LONGEST_LEASE + SLACK)
    assert set(endings.values()) == {"succeed"}
    watching.check(endings)
    repeated = [spans for spans in watching.by_branch(set(answers)) if len(spans) > 1]
    assert repeated == [], "a call that landed within the grace was made again"
