"""Sagas, messages and TCCs by the SDK, among real participants."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from dtm.client import (
    Conflict,
    Failure,
    InvalidRequest,
    NotFound,
    Ongoing,
    ParticipantError,
    new_gid,
)
from tests.client.middle import Middle
from tests.support.coordinator import Coordinator
from tests.support.participants import ERROR, ONGOING, Participants, failure


@dataclass
class Transfer:
    amount: int


def test_a_saga_in_five_lines(client: Any, participants: Participants) -> None:
    saga = client.saga(wait_result=True)
    saga.step(participants.url("Out"), participants.url("OutUndo"), {"amount": 30})
    saga.step(participants.url("In"), participants.url("InUndo"), Transfer(30))
    gid = saga.submit()
    assert participants.of(gid) == ["action 01 POST Out", "action 02 POST In"]
    assert [call.body for call in participants.seen(gid)] == ['{"amount":30}'] * 2
    assert client.query(gid).status == "succeed"


def test_a_refused_saga_is_a_failure_with_its_reason(client: Any, participants: Participants) -> None:
    participants.answer("In", failure("no such account"))
    saga = client.saga(wait_result=True).step(participants.url("Out"), participants.url("Undo"), b"{}")
    saga.step(participants.url("In"), "", b"{}")
    with pytest.raises(Failure, match="no such account") as caught:
        saga.submit()
    assert caught.value.status == "failed"
    assert "compensate 01 POST Undo" in participants.of(saga.gid)


def test_a_saga_under_way_is_ongoing_and_can_be_waited_for(client: Any, participants: Participants) -> None:
    participants.answer("Slow", ONGOING)
    saga = client.saga(wait_result=True, retry_interval=1).step(participants.url("Slow"), "", 1)
    with pytest.raises(Ongoing):
        saga.submit()
    ended = client.wait(saga.gid)
    assert (ended.status, ended.trans_type, ended.final) == ("succeed", "saga", True)
    assert repr(ended) == f"Transaction(gid='{saga.gid}', trans_type='saga', status='succeed', reason='')"
    with pytest.raises(Conflict) as caught:
        saga.submit()
    assert caught.value.status == "succeed"


def test_orders_and_options_arrive(client: Any, participants: Participants) -> None:
    saga = client.saga(concurrent=True, retry_limit=2, branch_headers={"x-tenant": "blue"}, timeout_to_fail=90)
    for name in ("A", "B"):
        saga.step(participants.url(name), "", 1)
    gid = saga.step(participants.url("C"), "", 1, after=[0, 1]).submit()
    raw = client.wait(gid).raw
    assert json.loads(raw["custom_data"]) == {"concurrent": True, "orders": {"2": [0, 1]}}
    options = json.loads(raw["options"])
    assert (options["retry_limit"], options["timeout_to_fail"]) == (2, 90)
    assert participants.of(gid)[-1] == "action 03 POST C"
    assert {call.headers["x-tenant"] for call in participants.seen(gid)} == {"blue"}


def test_a_message_is_delivered_also_to_a_topic(client: Any, shared: Coordinator, participants: Participants) -> None:
    topic = new_gid()
    assert shared.client.post("subscribe", None, topic=topic, url=participants.url("Mail"))[0] == 200
    gid = client.msg(wait_result=True).step(participants.url("In"), 1).topic(topic, 2).submit()
    assert participants.of(gid) == ["action 01 POST In", "action 02 POST Mail"]


def test_a_prepared_message_is_delivered_or_aborted(client: Any, participants: Participants) -> None:
    for ending in ("submit", "abort"):
        message = client.msg().step(participants.url("In"), 1)
        message.prepare(participants.url("Asked"))
        assert client.query(message.gid).status == "prepared"
        getattr(message, ending)()
        ended = client.wait(message.gid)
        assert ended.status == ("succeed" if ending == "submit" else "failed")
        assert bool(participants.of(message.gid)) == (ending == "submit")


def test_a_delayed_message_says_so(client: Any, participants: Participants) -> None:
    gid = client.msg(delay=60).step(participants.url("In"), 1).submit()
    assert json.loads(client.query(gid).raw["custom_data"]) == {"delay": 60}
    client.force_stop(gid)
    assert client.query(gid).reason == "force stopped"


def test_leaving_a_tcc_confirms(client: Any, participants: Participants) -> None:
    with client.tcc(wait_result=True, branch_headers={"x-tenant": "blue"}) as tcc:
        for _ in range(2):
            reply = tcc.call_branch(
                participants.url("Try"), participants.url("Yes"), participants.url("No"), {"amount": 1}
            )
            assert reply.json() is None
        tcc.call_branch("", participants.url("Yes"), "", None)
    calls = participants.seen(tcc.gid)
    assert [str(call) for call in calls] == [
        "try 01 POST Try", "try 02 POST Try", "confirm 03 GET Yes", "confirm 02 POST Yes", "confirm 01 POST Yes",
    ]  # fmt: skip
    assert calls[0].query["dtm"].endswith("/api/dtmsvr")
    assert {call.headers["x-tenant"] for call in calls} == {"blue"}


@pytest.mark.parametrize(("answer", "error"), [(failure("no"), Failure), (ERROR, ParticipantError), (ONGOING, Ongoing)])
def test_a_try_that_does_not_say_yes_cancels(client: Any, participants: Participants, answer: Any, error: Any) -> None:
    participants.answer("Try", answer)
    with pytest.raises(error), client.tcc(wait_result=True) as tcc:
        tcc.call_branch(participants.url("Try"), participants.url("Yes"), participants.url("No"), 1)
    assert client.wait(tcc.gid).status == "failed"
    assert participants.of(tcc.gid) == ["try 01 POST Try", "cancel 01 POST No"]


def test_an_exception_of_ones_own_cancels_and_is_raised_on(client: Any, participants: Participants) -> None:
    with pytest.raises(ZeroDivisionError), client.tcc() as tcc:
        tcc.call_branch(participants.url("Try"), participants.url("Yes"), participants.url("No"), 1)
        _ = 1 // 0
    ended = client.wait(tcc.gid)
    assert (ended.status, ended.reason) == ("failed", "integer division or modulo by zero")
    with pytest.raises(StopIteration), client.tcc() as tcc:
        next(iter(()))
    assert client.wait(tcc.gid).reason == "StopIteration", "for it has no text"


def test_a_participant_that_does_not_listen_cancels(client: Any) -> None:
    with pytest.raises(ParticipantError, match="did not answer"), client.tcc() as tcc:
        tcc.call_branch("http://127.0.0.1:1/try", "", "", 1)
    assert client.wait(tcc.gid).status == "failed"


def test_a_nested_tcc_hangs_below_its_branch(client: Any, participants: Participants) -> None:
    with client.tcc(wait_result=True) as tcc:
        tcc.call_branch(participants.url("Try"), participants.url("Yes"), participants.url("No"), 1)
        nested = client.nested_tcc(participants.seen(tcc.gid)[0].query)
        nested.call_branch(participants.url("Inner"), participants.url("InnerYes"), participants.url("InnerNo"), 2)
    assert participants.of(tcc.gid)[-2:] == ["confirm 0101 POST InnerYes", "confirm 01 POST Yes"]
    with pytest.raises(ValueError, match="gid, branch_id"):
        client.nested_tcc({"gid": tcc.gid})


def test_abort_by_gid(client: Any, participants: Participants) -> None:
    participants.answer("Slow", ONGOING)
    saga = client.saga().step(participants.url("Slow"), participants.url("Undo"), 1)
    client.abort(saga.submit(), "changed my mind")
    assert client.wait(saga.gid).reason == "changed my mind"
    client.abort(saga.gid)  # what was asked for has come about
    gid = client.saga(wait_result=True).step("", "").submit()
    with pytest.raises(Conflict):
        client.abort(gid)
    with pytest.raises(Conflict):
        client.force_stop(gid)
    with pytest.raises(NotFound):
        client.abort("nobody")


def test_bad_input_names_its_place(client: Any, middle: Middle) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client.saga(timeout_to_fail=-1).step("ftp://host/", "").submit()
    pointers = {fault.pointer for fault in caught.value.faults}
    assert pointers == (set() if middle.original else {"/timeout_to_fail"}) or pointers == {"/steps/0/action"}
    for payload in ({1, 2}, b"\xff", float("nan")):
        with pytest.raises(InvalidRequest):
            client.saga().step("http://127.0.0.1/", "", payload)


def test_what_is_not_there(client: Any) -> None:
    assert client.query("nobody") is None
    with pytest.raises(NotFound):
        client.wait("nobody")


def test_gids(client: Any) -> None:
    made = [new_gid() for _ in range(1000)]
    assert made == sorted(set(made))
    assert {len(gid) for gid in made} == {26}
    assert client.new_gid() != client.new_gid()
