"""One crash at every single write, before it and after it: the history still ends right, whichever it is."""

from __future__ import annotations

from collections import Counter

import pytest

from dtm.testing import Faults, History, Step, simulate
from tests.properties import laws
from tests.properties.runs import PROTOCOLS
from tests.properties.scenarios import GID, url

SAGA = {
    "gid": GID,
    "trans_type": "saga",
    "steps": [{"action": url("do"), "compensate": url("undo")}] * 3,
    "payloads": ["{}"] * 3,
}
TCC = {"gid": GID, "trans_type": "tcc"}
BRANCHES = [
    Step("register", {**TCC, "branch_id": branch_id, "confirm": url("yes"), "cancel": url("no"), "data": "{}"})
    for branch_id in ("01", "02")
]
MSG = {
    "gid": GID,
    "trans_type": "msg",
    "steps": [{"action": url("do")}] * 2,
    "payloads": ["{}"] * 2,
    "query_prepared": url("query"),
}
REFUSED = {("03", "action"): "failure"}

CASES = {
    "saga": ("saga", [Step("submit", SAGA)], {}, "succeed"),
    "saga that rolls back": ("saga", [Step("submit", SAGA)], REFUSED, "failed"),
    "tcc": ("tcc", [Step("prepare", TCC), *BRANCHES, Step("submit", TCC)], {}, "succeed"),
    "tcc aborted": ("tcc", [Step("prepare", TCC), *BRANCHES, Step("abort", TCC)], {}, "failed"),
    "tcc timed out": ("tcc", [Step("prepare", TCC), *BRANCHES], {}, "failed"),
    "msg": ("msg", [Step("prepare", MSG), Step("submit", MSG)], {}, "succeed"),
    "msg asked about": ("msg", [Step("prepare", MSG)], {}, "succeed"),
}


def run(case: str, crash_at: set[int], nodes: int) -> tuple[History, str]:
    """One history with these crashes and no other trouble."""
    name, steps, verdicts, _ = CASES[case]
    faults = Faults(trouble=0, crash_at=frozenset(crash_at), nodes=nodes, verdicts=verdicts)
    return simulate(PROTOCOLS[name], steps, seed=1, faults=faults), name


def points(case: str, nodes: int) -> int:
    """How many points there are at which this case may crash: twice its writes."""
    history, _ = run(case, set(), nodes)
    claims = sum(1 for _ in history.of("claim"))
    return 2 * (sum(1 for _ in history.of("row")) - claims) + 4


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_one_crash_anywhere(case: str, nodes: int) -> None:
    name, _, _, goal = CASES[case]
    for point in range(points(case, nodes)):
        history, _ = run(case, {point}, nodes)
        assert not laws.broken(history, PROTOCOLS[name]), f"crash at {point}\n{history.story()}"
        assert history.final is not None
        assert history.final.status == goal or (goal == "succeed" and doubtful(history)), history.story()


def doubtful(history: History) -> bool:
    """A crash may cost a transaction its time: then it fails, properly, by its time-out or by a client's retry."""
    return history.final is not None and history.final.reason.startswith("Timeout")


@pytest.mark.parametrize("case", CASES)
def test_without_faults_every_branch_is_called_once(case: str) -> None:
    history, _ = run(case, set(), 2)
    calls = Counter(event.key for event in history.of("request"))
    assert set(calls.values()) <= {1}, history.story()
    assert history.final is not None
    assert history.final.status == CASES[case][3]
