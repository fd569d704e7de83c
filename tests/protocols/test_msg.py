"""Two-phase message: branches, topics, check-back and delay (contract 3.5)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_tables import CREATED, Play, marks_of, pointer_of, say, snap

import dtm
from dtm.core.errors import NotAllowed
from dtm.core.lifecycle import apply
from dtm.plugins import msg

PROTOCOL = msg.PROTOCOL
QUERY = "http://h/query"
TOPICS = {"none": (), "one": ("http://h/a",), "two": ("http://h/a", "http://h/b")}


def expand(*actions: str, verb: str = "submit", custom: dict | None = None, **body: Any) -> list[dtm.Branch]:
    body = {
        "steps": [{"action": action} for action in actions],
        "payloads": [f"p{i}" for i in range(len(actions))],
        **body,
    }
    return PROTOCOL.expand(
        dtm.Request(verb=verb, gid="g", trans_type="msg", body=body, custom=custom or {}, topic=TOPICS.get)
    )


def rows(count: int = 2) -> list[dtm.Branch]:
    return expand(*(f"http://h/{i}" for i in range(count)))


def test_one_hook_offers_one_protocol() -> None:
    assert msg.dtm_register_protocols() == [PROTOCOL]
    assert PROTOCOL.register is None
    assert PROTOCOL.default_timeout


@pytest.mark.parametrize(
    ("actions", "branches"),
    [
        ([], []),
        (["http://h/1", ""], ["01 http://h/1 p0", "02  p1"]),
        (["topic://two"], ["01-01 http://h/a p0", "01-02 http://h/b p0"]),
        (["http://h/1", "topic://one"], ["01 http://h/1 p0", "02 http://h/a p1"]),
        (["topic://none", "http://h/2"], ["02 http://h/2 p1"]),
    ],
)
def test_one_branch_per_call_with_the_steps_payload(actions: list[str], branches: list[str]) -> None:
    made = expand(*actions)
    assert {branch.op for branch in made} <= {"action"}
    assert [f"{b.branch_id} {b.url} {b.payload.decode()}" for b in made] == branches


def test_missing_parts() -> None:
    assert PROTOCOL.expand(dtm.Request(verb="submit", gid="g", trans_type="msg")) == []
    assert [branch.url for branch in expand(steps=[{}], payloads=["p"])] == [""]
    assert [branch.payload for branch in expand(steps=[{"action": "http://h", "data": "d"}], payloads=())] == [b"d"]


@pytest.mark.parametrize(
    ("request_", "pointer", "message"),
    [
        ({"steps": [{"action": ""}, {}], "payloads": ["p"]}, "/payloads", "each of the 2 steps, got 1"),
        ({"steps": [{}, {"action": "topic://nope"}], "payloads": ["", ""]}, "/steps/1/action", "topic not found: nope"),
        ({"steps": [{"action": "topic://"}], "payloads": [""]}, "/steps/0/action", "topic not found"),
        ({"verb": "prepare"}, "/query_prepared", "how the local transaction ended"),
        ({"verb": "prepare", "query_prepared": ""}, "/query_prepared", "how the local transaction ended"),
        ({"custom": {"delay": -1}}, "/custom_data", "delay must be"),
        ({"custom": {"delay": 1.5}}, "/custom_data", "delay must be"),
        ({"custom": {"delay": "10"}}, "/custom_data", "delay must be"),
        ({"custom": {"DELAY": True}}, "/custom_data", "delay must be"),
        ({"custom": {"delay": [1]}}, "/custom_data", "delay must be"),
        ({"custom": {"delay": 2**31}}, "/custom_data", "delay must be"),
    ],
)
def test_what_is_refused(request_: dict, pointer: str, message: str) -> None:
    with pytest.raises(dtm.InvalidRequest) as caught:
        expand(**request_)
    assert pointer_of(caught.value) == pointer
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "custom", [{}, {"delay": 0}, {"delay": 2**31 - 1}, {"delay": None}, {"Delay": 5}, {"other": -1}]
)
def test_a_delay_that_can_be_kept(custom: dict) -> None:
    assert expand("http://h/1", verb="prepare", query_prepared=QUERY, custom=custom)


@pytest.mark.parametrize(
    ("elapsed", "answer", "decision"),
    [
        (0, None, "wait 35000"),
        (34_999, None, "wait 35000"),
        (34_999, dtm.Answer(dtm.Outcome.FAILURE), "wait 35000"),
        (35_000, None, f"ask msg.00 {QUERY} b''"),
        (10**9, None, f"ask msg.00 {QUERY} b''"),
        (35_000, dtm.Answer(dtm.Outcome.SUCCESS), "move submitted"),
        (35_000, dtm.Answer(dtm.Outcome.FAILURE, "no FAILURE"), f"move failed: url:{QUERY} return failed: no FAILURE"),
        (35_000, dtm.Answer(dtm.Outcome.FAILURE), f"move failed: url:{QUERY} return failed: fail message lost"),
    ],
)
def test_undecided_it_asks_the_application_after_the_time_out(
    elapsed: int, answer: dtm.Answer | None, decision: str
) -> None:
    answers = {"msg": answer} if answer else {}
    request = {"query_prepared": QUERY}
    now = CREATED + elapsed
    snapshot = snap(PROTOCOL, rows(), "pp", "prepared", timeout=35, now=now, request=request, answers=answers)
    assert say(PROTOCOL.plan(snapshot)) == decision


@pytest.mark.parametrize(
    ("concurrent", "marks", "decision"),
    [
        (False, "", "move succeed"),
        (False, "pp", "call action.01"),
        (False, "?p", "call action.01"),
        (False, "sp", "call action.02"),
        (False, "ss", "move succeed"),
        (True, "", "move succeed"),
        (True, "ppp", "call action.01 action.02 action.03"),
        (True, "s?p", "call action.02 action.03"),
        (True, "sss", "move succeed"),
    ],
)
def test_submitted_it_calls_until_all_succeeded(concurrent: bool, marks: str, decision: str) -> None:
    options = dtm.Options(concurrent=concurrent)
    late = CREATED + 10**9  # no time-out ends a submitted message
    snapshot = snap(PROTOCOL, rows(len(marks)), marks, "submitted", options=options, timeout=35, now=late)
    assert say(PROTOCOL.plan(snapshot)) == decision


@pytest.mark.parametrize("key", ["delay", "Delay", "DELAY"])
@pytest.mark.parametrize(
    ("elapsed", "marks", "decision"),
    [
        (0, "pp", "wait 10000"),
        (9_999, "pp", "wait 10000"),
        (10_000, "pp", "call action.01 action.02"),
        (0, "", "wait 10000"),
        (10_000, "", "move succeed"),
    ],
)
def test_a_delay_counts_from_creation_and_holds_everything(key: str, elapsed: int, marks: str, decision: str) -> None:
    options, custom = dtm.Options(concurrent=True), {key: 10}
    now = CREATED + elapsed
    snapshot = snap(PROTOCOL, rows(len(marks)), marks, "submitted", options=options, custom=custom, now=now)
    assert say(PROTOCOL.plan(snapshot)) == decision


@pytest.mark.parametrize(
    ("verb", "status", "after"),
    [
        ("prepare", None, "prepared"),
        ("prepare", "prepared", "prepared"),
        ("prepare", "submitted", None),
        ("submit", None, "submitted"),
        ("submit", "prepared", "submitted"),
        ("submit", "submitted", "submitted"),
        ("submit", "failed", None),
        ("abort", "prepared", "failed"),
        ("abort", "submitted", None),
        ("abort", "failed", None),
        ("abort", None, None),
    ],
)
def test_verbs(verb: str, status: str | None, after: str | None) -> None:
    if after is None:
        with pytest.raises(NotAllowed):
            apply(PROTOCOL.verbs, verb, status and dtm.Status(status))
    else:
        assert apply(PROTOCOL.verbs, verb, status and dtm.Status(status)) == after


def test_nothing_can_be_registered() -> None:
    with pytest.raises(dtm.InvalidRequest, match="register"):
        apply(PROTOCOL.verbs, "register", dtm.Status.PREPARED)


@given(st.integers(0, 4), st.booleans(), st.sampled_from([0, 5, 50]), st.data())
def test_every_history_calls_all_or_none(count: int, concurrent: bool, delay: int, data: st.DataObject) -> None:
    start = snap(
        PROTOCOL,
        rows(count),
        "p" * count,
        "prepared",
        timeout=35,
        request={"query_prepared": QUERY},
        custom={"delay": delay},
        options=dtm.Options(concurrent=concurrent),
    )
    play = Play(PROTOCOL, start, lambda choices: data.draw(st.sampled_from(choices)))
    for snapshot, decision in play.turns():
        if isinstance(decision, dtm.Call):
            assert snapshot.status is dtm.Status.SUBMITTED
            assert snapshot.now >= CREATED + delay * 1000
            assert set(decision.branches) <= set(snapshot.branches)
            pending = [branch for branch in snapshot.branches if branch.pending]
            assert list(decision.branches) == (pending if concurrent else pending[:1])
    succeeded = play.now.status is dtm.Status.SUCCEED
    assert marks_of(play.now.branches) == ("s" if succeeded else "p") * count
