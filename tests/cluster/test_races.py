"""Verbs that race one another, time-outs and passes on other nodes: one of them wins, and all are told so."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from dtm.core.node import CONFIRMED_FOR
from tests.support.cluster import Cluster, at_once, saga, until_called
from tests.support.participants import ONGOING, Participants
from tests.support.watching import Watching

New = Callable[[], str]
SLACK = 1.0
"""Seconds by which a call, or the note of it, may come late on a machine that is busy."""


@pytest.fixture
def watching() -> Iterator[Watching]:
    server = Watching(slow=0.25)
    yield server
    server.close()


def tcc(participants: Participants, name: str, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What prepares a tcc, and what registers its branch 01."""
    reference = {"gid": name, "trans_type": "tcc", **more}
    urls = {"confirm": participants.url("confirm"), "cancel": participants.url("cancel"), "data": "{}"}
    return reference, {"gid": name, "trans_type": "tcc", "branch_id": "01", **urls}


def judge(nodes: Cluster, participants: Participants, name: str, submitted: tuple[int, Any]) -> None:
    """Submit or abort has won; who lost heard the true status, and participants were told one thing only (I-RACE-1)."""
    status, said = submitted
    ending = nodes.any().until_final(name)
    assert (status, ending) in {(200, "succeed"), (409, "failed")}
    assert status == 200 or said["status"] in ("aborting", "failed")
    assert {call.op for call in participants.seen(name)} == {"confirm" if ending == "succeed" else "cancel"}


def test_submit_against_abort(nodes: Cluster, participants: Participants, gid: New) -> None:
    for _ in range(15):
        reference, branch = tcc(participants, gid())
        assert nodes.any().post("prepare", reference)[0] == 200
        assert nodes.any().post("registerBranch", branch)[0] == 200
        submitted, *aborted = at_once(
            partial(nodes["a"].post, "submit", reference),
            partial(nodes["b"].post, "abort", reference),
            partial(nodes["c"].post, "abort", reference),
        )
        judge(nodes, participants, reference["gid"], submitted)
        assert (submitted[0] == 200) is all(status == 409 for status, _ in aborted)


def test_submit_against_the_time_out(nodes: Cluster, participants: Participants, gid: New) -> None:
    """Submits that arrive around the very moment at which somebody notices that it is over (I-RACE-1)."""

    def race(name: str) -> tuple[str, tuple[int, Any]]:
        reference, branch = tcc(participants, name, timeout_to_fail=1)
        began = time.monotonic()
        nodes.any().post("prepare", reference)
        assert nodes.any().post("registerBranch", branch)[0] == 200
        time.sleep(max(0, began + 0.95 + random.random() * 0.3 - time.monotonic()))
        return name, nodes.any().post("submit", reference)

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(race, [gid() for _ in range(40)]))
    for name, submitted in answers:
        judge(nodes, participants, name, submitted)
    assert {status for _, (status, _) in answers} == {200, 409}, "all of them came too early, or all too late"


@pytest.mark.parametrize("verb", ["submit", "abort"])
def test_registering_against_the_decision(nodes: Cluster, participants: Participants, gid: New, verb: str) -> None:
    """200 means that the branch is driven, 409 that it never is (I-REG-1); the same again changes nothing."""
    for _ in range(3):
        reference, branch = tcc(participants, gid())
        assert nodes["a"].post("prepare", reference)[0] == 200
        bodies = [{**branch, "branch_id": f"{number % 12:02d}"} for number in range(24)]
        random.shuffle(bodies)
        calls = [partial(nodes.any().post, "registerBranch", body) for body in bodies]
        calls.insert(8, partial(nodes["b"].post, verb, reference))
        statuses = [status for status, _ in at_once(*calls)]
        assert statuses.pop(8) == 200
        assert set(statuses) <= {200, 409}
        assert nodes["c"].until_final(reference["gid"]) == {"submit": "succeed", "abort": "failed"}[verb]
        accepted = {body["branch_id"] for body, status in zip(bodies, statuses, strict=True) if status == 200}
        op = {"submit": "confirm", "abort": "cancel"}[verb]
        assert sorted(participants.of(reference["gid"])) == [f"{op} {number} POST {op}" for number in sorted(accepted)]


def test_force_stop_of_what_runs_elsewhere(nodes: Cluster, watching: Watching, gid: New) -> None:
    """And abort: about a second after it has been heard of, the other node begins no action any more (law 5.11)."""
    stopped, aborted = [gid() for _ in range(4)], [gid() for _ in range(4)]
    heard: dict[str, float] = {}

    def race(name: str, verb: str) -> None:
        runner, other = random.sample(list(nodes), 2)
        body = saga(watching, name, *["x"] * 60)
        body["payloads"] = ['{"account": "x", "amount": 1}'] * 60
        assert runner.post("submit", body)[0] == 200
        until_called(watching, name, 3)
        assert other.post(verb, {"gid": name})[0] == 200
        heard[name] = time.monotonic()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(race, stopped + aborted, ["forceStop"] * 4 + ["abort"] * 4))
    nodes.until_all_final(stopped + aborted)
    time.sleep(CONFIRMED_FOR + SLACK)
    for spans in watching.by_branch({*stopped, *aborted}):
        for span in spans:
            if span.op == "action":
                assert span.began < heard[span.gid] + CONFIRMED_FOR + SLACK
    for name in stopped:
        assert {op for _, op, _ in watching.effects(name)} == {"action"}
    for name in aborted:
        assert sum(amount for _, _, amount in watching.effects(name)) == 0
    assert watching.faults == []


def test_stopping_races_everything(nodes: Cluster, participants: Participants, gid: New) -> None:
    """forceStop against abort, submit and a reset schedule: it ends as failed, or had succeeded before (I-RACE-2)."""
    for _ in range(10):
        name = gid()
        participants.answer(name, ONGOING)
        body = saga(participants, name, name, "y")
        nodes["a"].post("submit", body)
        (stopped, said), *others = at_once(
            partial(nodes["b"].post, "forceStop", {"gid": name}),
            partial(nodes["c"].post, "abort", {"gid": name}),
            partial(nodes["a"].post, "submit", body),
            partial(nodes["c"].post, "resetNextCronTime", {"gid": name}),
        )
        ending = nodes.any().until_final(name)
        assert (stopped, ending) in {(200, "failed"), (409, "succeed"), (409, "failed")}, said
        assert {status for status, _ in others} <= {200, 409}
        if stopped == 200:
            assert nodes.any().query(name)["transaction"]["rollback_reason"] == "force stopped"
