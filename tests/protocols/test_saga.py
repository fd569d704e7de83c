"""Saga: rows, what is refused, and what is decided on each standing (contract 3.2)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol_tables import CREATED, Play, pointer_of, say, snap

import dtm
from dtm.plugins import saga

PROTOCOL = saga.PROTOCOL


def rows(count: int = 2, custom: dict | None = None) -> list[dtm.Branch]:
    steps = [{"action": f"http://h/do{i}", "compensate": f"http://h/undo{i}"} for i in range(count)]
    body = {"steps": steps, "payloads": [f"p{i}" for i in range(count)]}
    return PROTOCOL.expand(dtm.Request(verb="submit", gid="g", trans_type="saga", body=body, custom=custom or {}))


def test_one_hook_offers_one_protocol() -> None:
    assert saga.dtm_register_protocols() == [PROTOCOL]
    assert PROTOCOL.undoable == {"action"}
    assert not PROTOCOL.default_timeout


def test_two_branches_per_step_with_the_steps_payload() -> None:
    assert [(b.branch_id, b.op, b.url, b.payload) for b in rows()] == [
        ("01", "compensate", "http://h/undo0", b"p0"),
        ("01", "action", "http://h/do0", b"p0"),
        ("02", "compensate", "http://h/undo1", b"p1"),
        ("02", "action", "http://h/do1", b"p1"),
    ]
    assert rows(100)[-1].branch_id == "100"


def expand(body: dict, custom: dict | None = None) -> list[dtm.Branch]:
    return PROTOCOL.expand(dtm.Request(verb="submit", gid="g", trans_type="saga", body=body, custom=custom or {}))


def test_missing_parts_are_nothing_to_call() -> None:
    assert expand({}) == []
    assert [b.url for b in expand({"steps": [{}], "payloads": ["é", "left over"]})] == ["", ""]
    assert expand({"steps": [{}], "payloads": ["é"]})[0].payload == "é".encode()


def test_payloads_of_2021_stand_in_the_steps() -> None:
    steps = [{"action": "http://h/1", "data": '{"a":1}'}, {"action": "http://h/2", "data": "2"}]
    assert [b.payload for b in expand({"steps": steps})] == [b'{"a":1}', b'{"a":1}', b"2", b"2"]
    steps[0]["data"] = ""
    assert [b.payload for b in expand({"steps": steps, "payloads": ["first"]})][1:3] == [b"first", b"2"]


@pytest.mark.parametrize("body", [{"steps": [{}]}, {"steps": [{}, {}], "payloads": ["p"]}, {"steps": [{"data": ""}]}])
def test_fewer_payloads_than_steps_are_refused(body: dict) -> None:
    with pytest.raises(dtm.InvalidRequest, match="expected one for each") as caught:
        expand(body)
    assert pointer_of(caught.value) == "/payloads"


@pytest.mark.parametrize(
    "custom",
    [
        {},
        {"concurrent": None, "orders": None},
        {"concurrent": True, "orders": None},
        {"concurrent": True, "orders": {}},
        {"concurrent": True, "orders": {"0": [1, 2], "1": (2,), "2": None}},
        {"concurrent": True, "orders": {"0": [1, 1]}},
        {"orders": {"2": [0, 1]}},
        {"concurrent": False, "orders": {"1": [0], "2": []}, "unknown": 1},
    ],
)
def test_orders_that_can_be_kept(custom: dict) -> None:
    assert len(rows(3, custom)) == 6


@pytest.mark.parametrize(
    ("custom", "message"),
    [
        ({"concurrent": 1}, "concurrent must be true or false"),
        ({"concurrent": "true"}, "concurrent must be true or false"),
        ({"orders": []}, "orders must be an object"),
        ({"orders": [[0]]}, "orders must be an object"),
        ({"orders": "x"}, "orders must be an object"),
        ({"orders": False}, "orders must be an object"),
        ({"concurrent": True, "orders": {"3": [0]}}, "not '3'"),
        ({"concurrent": True, "orders": {"-1": [0]}}, "not '-1'"),
        ({"concurrent": True, "orders": {"01": [0]}}, "not '01'"),
        ({"concurrent": True, "orders": {"1": 0}}, "not '1': 0"),
        ({"concurrent": True, "orders": {"1": "0"}}, "not '1': '0'"),
        ({"concurrent": True, "orders": {"1": [3]}}, "not 3, which '1' lists"),
        ({"concurrent": True, "orders": {"1": [-1]}}, "not -1"),
        ({"concurrent": True, "orders": {"1": ["0"]}}, "not '0'"),
        ({"concurrent": True, "orders": {"1": [False]}}, "not False"),
        ({"concurrent": True, "orders": {"1": [0.0]}}, "not 0.0"),
        ({"concurrent": True, "orders": {"1": [1]}}, "cyclic"),
        ({"concurrent": True, "orders": {"0": [1], "1": [2], "2": [0]}}, "cyclic"),
        ({"orders": {"0": [1]}}, "cyclic"),
        ({"concurrent": False, "orders": {"1": [2]}}, "cyclic"),
    ],
)
def test_orders_that_cannot_be_kept_are_refused(custom: dict, message: str) -> None:
    with pytest.raises(dtm.InvalidRequest) as caught:
        rows(3, custom)
    assert message in str(caught.value)
    assert pointer_of(caught.value) == "/custom_data"


@pytest.mark.parametrize(
    ("marks", "decision"),
    [
        ("", "move succeed"),
        ("pp pp", "call action.01"),
        ("p? pp", "call action.01"),
        ("ps pp", "call action.02"),
        ("ps p?", "call action.02"),
        ("ps ps", "move succeed"),
        ("pf pp", "move aborting: url:http://h/do0 return failed: no"),
        ("ps pf", "move aborting: url:http://h/do1 return failed: no"),
    ],
)
def test_forward_one_after_the_other(marks: str, decision: str) -> None:
    snapshot = snap(PROTOCOL, rows(len(marks) // 2), marks, "submitted", options=dtm.Options(concurrent=True))
    assert say(PROTOCOL.plan(snapshot)) == decision


@pytest.mark.parametrize(
    ("marks", "decision"),
    [
        ("pp pp", "move failed"),
        ("p? pp", "call compensate.01"),
        ("ps p?", "call compensate.02"),
        ("ps pf", "call compensate.02"),
        ("ps ?f", "call compensate.02"),
        ("ps sf", "call compensate.01"),
        ("pp ps", "call compensate.02"),  # the stored predecessor says nothing
        ("pp ss", "move failed"),
        ("ss sf", "move failed"),
        ("sf pp", "move failed"),
    ],
)
def test_backward_from_the_last_to_the_first(marks: str, decision: str) -> None:
    assert say(PROTOCOL.plan(snap(PROTOCOL, rows(), marks, "aborting"))) == decision


ORDERS = {"concurrent": True, "orders": {"1": [0], "2": [0], "3": [1, 2]}}
CONCURRENT = {"concurrent": True}


@pytest.mark.parametrize(
    ("custom", "marks", "decision"),
    [
        (CONCURRENT, "pp pp pp pp", "call action.01 action.02 action.03 action.04"),
        (CONCURRENT, "ps p? ps pp", "call action.02 action.04"),
        (CONCURRENT, "ps ps ps ps", "move succeed"),
        (CONCURRENT, "pp pp pf pf", "move aborting: url:http://h/do2 return failed: no"),
        (ORDERS, "pp pp pp pp", "call action.01"),
        (ORDERS, "ps pp pp pp", "call action.02 action.03"),
        (ORDERS, "ps ps p? pp", "call action.03"),
        (ORDERS, "ps ps ps pp", "call action.04"),
    ],
)
def test_forward_concurrently(custom: dict, marks: str, decision: str) -> None:
    assert say(PROTOCOL.plan(snap(PROTOCOL, rows(4), marks, "submitted", custom=custom))) == decision


@pytest.mark.parametrize(
    ("custom", "marks", "decision"),
    [
        (CONCURRENT, "ps p? pf pp", "call compensate.01 compensate.02 compensate.03"),
        (CONCURRENT, "ps s? ?f pp", "call compensate.01 compensate.03"),
        (CONCURRENT, "ss s? sf pp", "move failed"),
        (ORDERS, "ps ps ps pf", "call compensate.04"),
        (ORDERS, "ps ps ps sf", "call compensate.02 compensate.03"),
        (ORDERS, "ps ss ps sf", "call compensate.03"),
        (ORDERS, "ps ss ss sf", "call compensate.01"),
        (ORDERS, "ps p? pf pp", "call compensate.02 compensate.03"),
        (ORDERS, "ps pp ?f pp", "call compensate.03"),
    ],
)
def test_backward_against_the_orders(custom: dict, marks: str, decision: str) -> None:
    assert say(PROTOCOL.plan(snap(PROTOCOL, rows(4), marks, "aborting", custom=custom))) == decision


@pytest.mark.parametrize(
    ("marks", "decision"),
    [("pp pp", "call compensate.02"), ("pp sp", "call compensate.01"), ("sp sp", "move failed")],
)
def test_after_a_crash_in_doubt_every_pending_action_counts_as_run(marks: str, decision: str) -> None:
    assert say(PROTOCOL.plan(snap(PROTOCOL, rows(), marks, "aborting", recovered=True))) == decision


@pytest.mark.parametrize(
    ("now", "marks", "decision"),
    [
        (CREATED + 1_799_999, "p? pp", "call action.01"),
        (CREATED + 1_800_000, "p? pp", "move aborting: Timeout after 1800 seconds"),
        (CREATED + 1_800_000, "ps ps", "move succeed"),
        (CREATED + 1_800_000, "ps pf", "move aborting: url:http://h/do1 return failed: no"),
    ],
)
def test_time_out(now: int, marks: str, decision: str) -> None:
    assert say(PROTOCOL.plan(snap(PROTOCOL, rows(), marks, "submitted", timeout=1800, now=now))) == decision


def test_a_call_ends_at_the_deadline_and_tries_quickly_up_to_the_limit() -> None:
    options = dtm.Options(retry_limit=3)
    call = PROTOCOL.plan(snap(PROTOCOL, rows(), "pppp", "submitted", timeout=7, options=options))
    assert (call.until, call.quick_tries) == (CREATED + 7000, 3)
    call = PROTOCOL.plan(snap(PROTOCOL, rows(), "pppp", "submitted"))
    assert (call.until, call.quick_tries) == (None, 0)
    call = PROTOCOL.plan(snap(PROTOCOL, rows(), "psps", "aborting", timeout=7, options=options))
    assert (call.until, call.quick_tries) == (None, 0)


@pytest.mark.parametrize(
    ("limit", "attempts", "decision"),
    [
        (0, 99, "call action.01"),
        (3, 3, "call action.01"),
        (3, 4, "move aborting: RetryCount is greater than RetryLimit, RetryLimit: 3"),
    ],
)
def test_retry_limit(limit: int, attempts: int, decision: str) -> None:
    compensate, action = rows(1)
    tried = [compensate, dtm.Branch(action.branch_id, "action", action.url, started=attempts, attempts=attempts)]
    assert (
        say(PROTOCOL.plan(snap(PROTOCOL, tried, "pp", "submitted", options=dtm.Options(retry_limit=limit)))) == decision
    )


def test_an_action_that_succeeded_at_last_is_no_reason_to_roll_back() -> None:
    first = dtm.Branch("01", "action", "http://h/do0", attempts=9)
    snapshot = snap(PROTOCOL, [first, *rows(2)[2:]], "s pp", "submitted", options=dtm.Options(retry_limit=3))
    assert say(PROTOCOL.plan(snapshot)) == "call action.02"


def test_a_refusal_without_a_text() -> None:
    refused = dtm.Branch("01", "action", "http://h/a", status=dtm.BranchStatus.FAILED)
    decision = PROTOCOL.plan(dtm.Snapshot("g", dtm.Status.SUBMITTED, branches=(refused,)))
    assert say(decision) == "move aborting: url:http://h/a return failed: fail message lost"


@pytest.mark.parametrize(
    ("verb", "status", "after"),
    [("submit", None, "submitted"), ("submit", "submitted", "submitted"), ("abort", "submitted", "aborting")],
)
def test_verbs(verb: str, status: str | None, after: str) -> None:
    from dtm.core.lifecycle import apply

    assert apply(PROTOCOL.verbs, verb, status and dtm.Status(status)) == after


@st.composite
def sagas(draw: st.DrawFn) -> tuple[int, dict]:
    """A number of steps, and custom_data that can be kept."""
    count = draw(st.integers(0, 5))
    concurrent = draw(st.booleans())
    line = draw(st.permutations(range(count))) if concurrent else list(range(count))
    orders = {str(step): draw(st.lists(st.sampled_from(line[:at]), max_size=3)) for at, step in enumerate(line) if at}
    return count, {"concurrent": concurrent, "orders": draw(st.sampled_from([orders, {}, None]))}


def befores(count: int, custom: dict) -> dict[str, set[str]]:
    """branch_id -> branch_ids that must have succeeded before it, reckoned from the contract's own words."""
    result = {
        f"{step + 1:02d}": {f"{other + 1:02d}" for other in (custom["orders"] or {}).get(str(step), [])}
        for step in range(count)
    }
    if not custom["concurrent"]:
        for step in range(1, count):
            result[f"{step + 1:02d}"].add(f"{step:02d}")
    return result


def check_call(snapshot: dtm.Snapshot, call: dtm.Call, before: dict[str, set[str]]) -> None:
    by_key = {branch.key: branch for branch in snapshot.branches}
    for branch in call.branches:
        assert by_key[branch.key] is branch
        assert branch.pending
        if snapshot.status is dtm.Status.SUBMITTED:
            assert branch.op == "action"
            assert all(by_key[other, "action"].succeeded for other in before[branch.branch_id])
        else:
            assert branch.op == "compensate"
            action = by_key[branch.branch_id, "action"]
            assert not action.pending or snapshot.may_have_run(action)
            later = [by_key[other, "action"] for other, its in before.items() if branch.branch_id in its]
            ran = [action for action in later if not action.pending or snapshot.may_have_run(action)]
            assert all(by_key[action.branch_id, "compensate"].succeeded for action in ran)


@given(sagas(), st.data())
def test_on_any_standing_only_what_is_allowed_is_called(shape: tuple[int, dict], data: st.DataObject) -> None:
    count, custom = shape
    marks = "".join(data.draw(st.sampled_from("p?s")) + data.draw(st.sampled_from("p?sf")) for _ in range(count))
    status = data.draw(st.sampled_from(["submitted", "aborting"]))
    recovered = data.draw(st.booleans())
    snapshot = snap(PROTOCOL, rows(count, custom), marks, status, custom=custom, recovered=recovered)
    match PROTOCOL.plan(snapshot):
        case dtm.Call() as call:
            check_call(snapshot, call, befores(count, custom))
        case dtm.Move(dtm.Status.SUCCEED):
            assert status == "submitted"
            assert all(action.succeeded for action in snapshot.op("action"))
        case dtm.Move(dtm.Status.ABORTING):
            assert status == "submitted"
            assert any(action.failed for action in snapshot.op("action"))
        case dtm.Move(dtm.Status.FAILED):
            assert status == "aborting"
            for undo, action in zip(snapshot.op("compensate"), snapshot.op("action"), strict=True):
                assert undo.succeeded or (action.pending and not snapshot.may_have_run(action))
        case other:
            raise AssertionError(other)


@settings(max_examples=300)
@given(sagas(), st.sampled_from([None, 10.0]), st.sampled_from([0, 1, 2]), st.data())
def test_every_history_ends_with_all_done_or_all_undone(
    shape: tuple[int, dict], timeout: float | None, limit: int, data: st.DataObject
) -> None:
    count, custom = shape
    options = dtm.Options(retry_limit=limit)
    start = snap(
        PROTOCOL, rows(count, custom), "pp" * count, "submitted", custom=custom, timeout=timeout, options=options
    )
    play = Play(PROTOCOL, start, lambda choices: data.draw(st.sampled_from(choices)))
    for snapshot, decision in play.turns():
        if isinstance(decision, dtm.Call):
            check_call(snapshot, decision, befores(count, custom))
    end = play.now
    if end.status is dtm.Status.SUCCEED:
        assert all(action.succeeded for action in end.op("action"))
        assert not any(op == "compensate" for _, op in play.called)
        return
    undone = {branch.branch_id for branch in end.op("compensate") if branch.succeeded}
    assert {branch_id for branch_id, op in play.called if op == "action"} <= undone
