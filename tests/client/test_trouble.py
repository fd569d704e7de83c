"""Lost answers, coordinators that are away, and what a client may and may not conclude."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dtm.client import Conflict, Failure, OutcomeUnknown, Unauthorized, Unreachable
from tests.client.middle import Middle
from tests.support.coordinator import FAST, Coordinator
from tests.support.participants import Participants, failure

NOBODY = "http://127.0.0.1:1"


@pytest.mark.parametrize("trouble", ["lost", "broken", "away"])
def test_a_submit_without_an_answer_is_sent_again_and_done_once(
    client: Any, middle: Middle, participants: Participants, trouble: str
) -> None:
    middle.troubles += [trouble, trouble]
    gid = client.saga(wait_result=True).step(participants.url("Out"), "", 1).submit()
    assert middle.requests[:3] == ["submit"] * 3
    assert participants.of(gid) == ["action 01 POST Out"]


@pytest.mark.parametrize("trouble", ["lost", "broken"])
def test_a_refusal_is_heard_although_its_answer_was_lost(
    client: Any, middle: Middle, participants: Participants, trouble: str
) -> None:
    participants.answer("Out", failure("closed"))
    middle.troubles.append(trouble)
    with pytest.raises(Failure) as caught:
        client.saga(wait_result=True).step(participants.url("Out"), "", 1).submit()
    assert caught.value.status == "failed"


def test_a_gid_that_is_taken_is_no_success(client: Any, participants: Participants) -> None:
    gid = client.saga(wait_result=True).step(participants.url("Out"), "", 1).submit()
    with pytest.raises(Conflict) as caught:
        client.saga(gid, wait_result=True).step(participants.url("Out"), "", 2).submit()
    assert caught.value.status == "succeed"


def test_every_verb_survives_a_lost_answer(client: Any, middle: Middle, participants: Participants) -> None:
    middle.troubles += ["lost", "fine"] * 3
    with client.tcc(wait_result=True) as tcc:
        tcc.call_branch(participants.url("Try"), participants.url("Yes"), participants.url("No"), 1)
    assert middle.requests[:6] == ["prepare", "prepare", "registerBranch", "registerBranch", "submit", "submit"]
    assert participants.of(tcc.gid) == ["try 01 POST Try", "confirm 01 POST Yes"]
    middle.troubles += ["lost", "fine"] * 2
    gid = client.msg(delay=60).step(participants.url("In"), 1).submit()
    client.force_stop(gid)
    message = client.msg().step(participants.url("In"), 1)
    message.prepare(participants.url("Asked"))
    middle.troubles.append("lost")
    message.abort()
    assert client.query(message.gid).status == "failed"


@pytest.mark.parametrize(
    ("trouble", "error"), [("lost", OutcomeUnknown), ("broken", OutcomeUnknown), ("away", Unreachable)]
)
def test_what_is_said_when_no_answer_is_certain(
    make_client: Any, middle: Middle, trouble: str, error: type[Exception]
) -> None:
    client = make_client(middle.url, tries=2)
    middle.troubles += [trouble] * 2
    with pytest.raises(error, match="2 tries"):
        client.saga(wait_result=True).step("", "").submit()


def test_an_abort_that_cannot_be_told_is_noted_and_the_error_raised_on(make_client: Any, middle: Middle) -> None:
    client = make_client(middle.url, tries=1)
    with pytest.raises(ZeroDivisionError) as caught, client.tcc():
        middle.troubles.append("away")
        _ = 1 // 0
    assert "time-out" in caught.value.__notes__[0]


def test_another_coordinator_takes_over(make_client: Any, middle: Middle, participants: Participants) -> None:
    client = make_client([NOBODY, middle.url])
    for _ in range(2):
        client.saga(wait_result=True).step(participants.url("Out"), "", 1).submit()
    with pytest.raises(Unreachable):
        make_client(NOBODY, tries=2).query("g")
    for wrong in ([], "ftp://host", ["host:36789"]):
        with pytest.raises(ValueError, match="expected"):
            make_client(wrong)


def test_waiting_outlasts_a_restart(make_client: Any, coordinator: Coordinator, participants: Participants) -> None:
    participants.delay("Slow", 1)
    client = make_client(coordinator.url, tries=2)
    gid = client.saga().step(participants.url("Slow"), "", 1).submit()
    coordinator.kill()
    with pytest.raises(Unreachable):
        client.wait(gid, timeout=0.5)
    coordinator.start()
    assert client.wait(gid).status == "succeed"


def test_tokens(make_client: Any, tmp_path: Path) -> None:
    tokens = '{"tokens": [{"token": "secret", "role": "client"}]}'
    with Coordinator(tmp_path, **FAST, DTM_AUTH=tokens) as coordinator:
        client = make_client(coordinator.url, token="secret")
        gid = client.saga().step("", "").submit()
        assert client.wait(gid).status == "succeed"
        with pytest.raises(Unauthorized):
            make_client(coordinator.url, token="wrong").query(gid)
        with pytest.raises(Unauthorized):
            client.force_stop(gid)
