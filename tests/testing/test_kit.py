"""The kit itself: what may strike, what is kept, what is made smaller, what it takes to be imported."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dtm.plugins.saga import PROTOCOL as SAGA
from dtm.plugins.tcc import PROTOCOL as TCC
from dtm.testing import Faults, Requests, Step, conformance, replay, save, simulate
from dtm.testing.participants import ONGOING, Participants, failure
from tests.properties.wrong_protocols import WRONG

STEP = {"action": "http://a/do", "compensate": "http://a/undo"}
BODY = {"steps": [STEP, STEP, STEP], "payloads": ["{}", "{}", "{}"]}

TELL = """
from dtm.plugins.saga import PROTOCOL
from dtm.testing import simulate
step = {"action": "http://a/do", "compensate": "http://a/undo"}
for seed in range(40):
    print(simulate(PROTOCOL, {"steps": [step] * 3, "payloads": ["{}"] * 3}, seed=seed))
"""


def python(code: str, **environment: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment}).stdout


def test_the_same_seed_tells_the_same_in_every_process() -> None:
    first, second = (python(TELL, PYTHONHASHSEED=seed) for seed in ("1", "2"))
    assert first == second
    assert first == "".join(f"{simulate(SAGA, BODY, seed=seed)}\n" for seed in range(40))


def test_a_history_names_its_faults_by_place_and_can_be_played_again(tmp_path: Path) -> None:
    for seed in range(60):
        history = simulate(SAGA, BODY, seed=seed)
        assert (history.faults.strike, history.faults.trouble, history.faults.refusal) == (0, 0, 0)
        save(history, tmp_path / "history.json")
        again = replay(SAGA, tmp_path / "history.json")
        assert again.story() == history.story()
        assert again.faults == history.faults
    with pytest.raises(ValueError, match="a history of 'saga', not of 'tcc'"):
        replay(TCC, tmp_path / "history.json")


@pytest.mark.parametrize("strike", ["crash", "stop", "stall"])
def test_another_node_takes_over(strike: str) -> None:
    faults = Faults(strikes={3: strike}, nodes=2, back=100.0)
    history = simulate(SAGA, BODY, faults=faults)
    assert [event.kind for event in history.of("crash", "stop", "stall")] == [strike]
    assert len({event.node for event in history.of("request")}) == 2, history
    assert history.final is not None
    assert history.final.status == "succeed"


def test_a_clock_that_jumps_makes_a_time_out_strike() -> None:
    body = {**BODY, "timeout_to_fail": 5}
    ahead = simulate(SAGA, body, faults=Faults(strikes={4: "ahead"}))
    assert ahead.final is not None
    assert ahead.final.reason == "Timeout after 5 seconds", ahead
    behind = simulate(SAGA, body, faults=Faults(strikes={4: "behind"}))
    assert behind.final is not None
    assert behind.final.status == "succeed", behind


def test_verbs_race() -> None:
    history = simulate(SAGA, BODY, faults=Faults(strikes={4: "abort", 5: "step 0"}))
    assert [event.text for event in history.of("invoke")] == ["submit", "abort", "submit"]
    assert history.final is not None
    assert history.final.status == "failed", history


def test_a_participant_goes_on_when_its_caller_dies() -> None:
    history = simulate(SAGA, BODY, script={}, faults=Faults(strikes={3: "crash"}))
    effects = [event.key for event in history.of("effect")]
    assert effects.count(("01", "action")) == 2, history


def test_the_smallest_history_is_shown() -> None:
    report = conformance(WRONG["forgets_what_may_have_run"][0], [BODY], histories=0)
    (verdict,) = [verdict for verdict in report.verdicts if verdict.law == "all-undone"]
    assert verdict.example is not None
    history = verdict.example.history
    assert history is not None
    assert len(history.steps[0].body["steps"]) == 1, report
    assert history.faults.count <= 2, report
    assert "all-undone: Every branch that may have run is undone" in str(report)
    assert "seed 1" in str(report)


def test_requests_may_be_given() -> None:
    requests = Requests([{}], [{"confirm": "http://a/yes", "cancel": "http://a/no"}])
    report = conformance(TCC, requests, histories=20)
    assert report.ok, report
    assert str(report).startswith("tcc 1 keeps all ")


def test_several_jobs_need_names() -> None:
    with pytest.raises(ValueError, match="several jobs need a protocol, and laws, that are given by where"):
        conformance(SAGA, jobs=2)


def test_it_does_without_pytest() -> None:
    python("import sys; sys.modules['pytest'] = None; import dtm.testing, dtm.testing.participants")


def test_participants_answer_as_told_and_write_down_what_they_saw() -> None:
    with Participants() as participants:
        participants.answer("tell", ONGOING, failure("closed"))
        url = f"{participants.url('tell')}?gid=g&trans_type=saga&branch_id=01&op=action"
        heard = []
        for _ in range(3):
            connection = http.client.HTTPConnection("127.0.0.1", participants.port, timeout=20)
            connection.request("POST", url.removeprefix(participants.base), b"{}")
            heard.append(connection.getresponse().status)
            connection.close()
        assert heard == [425, 409, 200]
        assert participants.of("g") == ["action 01 POST tell"] * 3
        assert {call.body for call in participants.seen("g")} == {"{}"}


def test_steps_of_somebody_else() -> None:
    steps = [Step("submit", BODY), Step("abort", BODY, after=0.2, aside=True)]
    history = simulate(SAGA, steps, script={("01", "action"): ["late"]})
    assert history.final is not None
    assert history.final.status == "failed", history
