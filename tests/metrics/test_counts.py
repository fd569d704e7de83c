"""What the figures say is what has happened (invariants, I-OBS-1): held against what clients and participants saw."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.client import FINAL
from tests.support.coordinator import FAST, Coordinator
from tests.support.figures import Figures, scrape
from tests.support.mariadb import database_of
from tests.support.participants import ERROR, OK, ONGOING, Participants, Reply, Seen, failure

SAGAS = 40


class Fickle:
    """Answers by chance, and writes down what it said: the history that the figures are held against."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self.said: list[tuple[Seen, Reply]] = []

    def __call__(self, seen: Seen) -> Reply:
        choices = [OK] * 6 + [ERROR, ONGOING]
        if seen.op == "action":
            choices.append(failure("no"))
        reply = self._rng.choice(choices)
        self.said.append((seen, reply))
        return reply

    def answers(self) -> Counter[tuple[str, str, str]]:
        """How often which branch_id and op heard ok, or anything else."""
        return Counter((seen.branch_id, seen.op, "ok" if reply == OK else "fail") for seen, reply in self.said)

    def outcomes(self) -> Counter[str]:
        """How often which outcome was said."""
        names = {OK[0]: "success", ERROR[0]: "error", ONGOING[0]: "ongoing", 409: "failure"}
        return Counter(names[reply[0]] for _, reply in self.said)


def saga(participants: Participants, number: int) -> dict:
    step = {"action": participants.url("do"), "compensate": participants.url("undo")}
    return {"gid": f"g{number}", "trans_type": "saga", "steps": [step, step], "payloads": ["1", "2"]}


def run_sagas(coordinator: Coordinator, participants: Participants) -> tuple[Counter[str], Counter[str]]:
    """Submit them all, some twice; how often which request was answered how, and how many ended how."""
    client, answered = coordinator.client, Counter()

    def submit(number: int) -> None:
        for _ in range(1 + number % 2):
            status, _ = client.post("submit", saga(participants, number))
            answered["submit", "ok" if status == 200 else "fail"] += 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(submit, range(SAGAS)))
    ended: Counter[str] = Counter()
    for number in range(SAGAS):
        while (status := client.status(f"g{number}")) not in FINAL:
            answered["query", "ok"] += 1
        answered["query", "ok"] += 1
        ended[status] += 1
    status, _ = client.post("abort", {"gid": "nobody", "trans_type": "saga"})
    assert status == 404
    answered["abort", "fail"] += 1
    return answered, ended


def held_against(figures: Figures, fickle: Fickle, answered: Counter, ended: Counter) -> None:
    """Every figure that has a counterpart in the history equals it."""
    for (api, status), count in answered.items():
        labels = {"type": "http", "api": api, "status": status}
        assert figures.value("dtm_server_process_total", **labels) == count, labels
        assert figures.value("dtm_server_response_duration_count", type="http", api=api) == sum(
            number for (name, _), number in answered.items() if name == api
        )
    for status, name in (("succeed", "ok"), ("failed", "fail")):
        assert figures.value("dtm_transaction_process_total", model="saga", status=name) == ended[status]
    assert figures.value("dtm_transaction_handled_duration_count", model="saga") == SAGAS
    assert figures.value("dtm_transactions_created_total", model="saga") == SAGAS
    for (branch_id, op, status), count in fickle.answers().items():
        labels = {"model": "saga", "branchid": branch_id, "branchtype": op, "status": status}
        assert figures.value("dtm_branch_process_total", **labels) == count, labels
    assert figures.total("dtm_branch_process_total") == len(fickle.said)
    assert figures.value("dtm_calls_sent_total") == len(fickle.said)
    for outcome, count in fickle.outcomes().items():
        assert figures.value("dtm_calls_landed_total", outcome=outcome) == count
    assert figures.value("dtm_calls_in_flight") == figures.value("dtm_passes_running") == 0
    assert figures.value("dtm_requests_running") == 1  # the scrape itself
    assert 1 < figures.value("dtm_event_loop_tasks") < 20  # it, and what the node does all the time
    assert figures.total("dtm_unfinished") == figures.value("dtm_oldest_unfinished_seconds") == 0
    assert figures.value("dtm_store_writable") == 1


@pytest.fixture(params=["sqlite", "mysql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The url of a store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/dtm.db"
    return request.getfixturevalue("mariadb").url(database_of(tmp_path))


def test_the_figures_are_the_history(place: str, tmp_path: Path, participants: Participants) -> None:
    fickle = Fickle(1)
    for name in ("do", "undo"):
        participants.answer(name, *[fickle] * 100 * SAGAS)
    environment = {**FAST, "DTM_STORE": place, "DTM_LEASE": "15"}
    with Coordinator(tmp_path, **environment) as coordinator:
        answered, ended = run_sagas(coordinator, participants)
        figures = Figures(scrape(coordinator.url))
    held_against(figures, fickle, answered, ended)
    queues = ["all"] if place.startswith("sqlite") else ["inserts", "saves"]
    for queue in queues:
        commits = figures.value("dtm_commits_total", queue=queue)
        assert commits == figures.value("dtm_commit_batch_size_count", queue=queue) > 0
        assert commits == figures.value("dtm_commit_seconds_count", queue=queue)
    tries = SAGAS + SAGAS // 2  # a repeated submit of what has ended is not written, or finds its gid taken
    assert figures.value("dtm_commit_batch_size_sum", queue=queues[0]) >= SAGAS
    if queues[0] == "inserts":
        assert figures.value("dtm_commit_batch_size_sum", queue="inserts") <= tries


async def test_ids_that_nobody_makes_are_no_labels(inside, participants: Participants) -> None:
    """A client's own branch ids, paths and protocols do not become series of their own."""
    gid = {"gid": "g", "trans_type": "tcc"}
    assert (await inside.post("prepare", gid))[0] == 200
    for branch_id in ("01", "0102", "010203", "mine", "1"):
        urls = {"confirm": participants.url("yes"), "cancel": participants.url("no")}
        body = {**gid, "branch_id": branch_id, "data": "1", **urls}
        assert (await inside.post("registerBranch", body))[0] == 200
    assert (await inside.post("submit", gid))[0] == 200
    await inside.idle()
    for path in ("no/such/path", "topic/mine", "topic/yours"):
        await inside.get(path)
    figures = Figures((await inside.app.metrics.scrape()).decode())
    branches = figures.families["dtm_branch_process_total"].samples
    assert {sample.labels["branchid"]: sample.value for sample in branches} == {"01": 1, "0102": 1, "other": 3}
    apis = {sample.labels["api"] for sample in figures.families["dtm_server_process_total"].samples}
    assert {"topic", "other", "registerbranch"} <= apis
    assert not {"path", "mine", "yours"} & apis
    assert figures.value("dtm_server_process_total", type="http", api="topic", status="fail") == 2
