"""Some of the vectors once more, on a coordinator that is a process of its own, with its own clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.coordinator import FAST, Coordinator
from tests.support.participants import ERROR, ONGOING, Participants, failure
from tests.vectors.bodies import SUCCESS, P, msg, msg2, saga, saga2, tcc, tcc_branch, xa, xa_branch


def test_v01_normal(coordinator: Coordinator, participants: Participants) -> None:
    client = coordinator.client
    assert client.post("submit", saga2(participants, "g")) == SUCCESS
    assert client.until_final("g") == "succeed"
    assert participants.of("g") == ["action 01 POST TransOut", "action 02 POST TransIn"]
    assert {call.body for call in participants.seen("g")} == {P}
    assert client.branches("g") == "psps"
    transaction = client.query("g")["transaction"]
    assert transaction["finish_time"]
    assert "rollback_reason" not in transaction


def test_v02_rollback(coordinator: Coordinator, participants: Participants) -> None:
    client = coordinator.client
    participants.answer("TransIn", failure("Insufficient balance"))
    assert client.post("submit", saga2(participants, "g")) == SUCCESS
    assert client.until_final("g") == "failed"
    assert participants.of("g")[2:] == ["compensate 02 POST TransInRevert", "compensate 01 POST TransOutRevert"]
    assert client.branches("g") == "sssf"
    assert "Insufficient balance" in client.query("g")["transaction"]["rollback_reason"]


def test_v03_ongoing_then_success(coordinator: Coordinator, participants: Participants) -> None:
    participants.answer("TransOut", ONGOING, ONGOING)
    assert coordinator.client.post("submit", saga2(participants, "g")) == SUCCESS
    assert coordinator.client.until_final("g") == "succeed"
    assert participants.of("g") == ["action 01 POST TransOut"] * 3 + ["action 02 POST TransIn"]


def test_v04_failed_compensation_is_retried(coordinator: Coordinator, participants: Participants) -> None:
    client = coordinator.client
    participants.answer("TransIn", failure("no"))
    participants.answer("TransOutRevert", ERROR, ERROR)
    assert client.post("submit", saga2(participants, "g")) == SUCCESS
    assert client.until_final("g") == "failed"
    assert participants.of("g")[2:] == [
        "compensate 02 POST TransInRevert",
        *["compensate 01 POST TransOutRevert"] * 3,
    ]
    assert client.branches("g") == "sssf"


def test_v09_v11_waiting(coordinator: Coordinator, participants: Participants) -> None:
    client = coordinator.client
    assert client.post("submit", saga2(participants, "g", wait_result=True)) == SUCCESS
    assert client.status("g") == "succeed"
    participants.answer("TransIn", failure("Insufficient balance"))
    status, reply = client.post("submit", saga2(participants, "h", wait_result=True))
    assert (status, reply["dtm_result"], reply["status"]) == (409, "FAILURE", "failed")
    assert "Insufficient balance" in reply["message"]


@pytest.fixture
def scaled(tmp_path: Path) -> Iterator[Coordinator]:
    """With time-outs of half a second, where the others have three and thirty-five."""
    short = {"DTM_TIMEOUT_TO_FAIL": "0.5", "DTM_REQUEST_TIMEOUT": "0.5"}
    with Coordinator(tmp_path, **FAST, **short) as process:
        yield process


@pytest.mark.parametrize(("options", "calls"), [({"request_timeout": 5}, 1), ({}, 2)])
def test_v17_request_timeout(
    scaled: Coordinator, participants: Participants, options: dict[str, Any], calls: int
) -> None:
    """A participant that takes too long for the default: an error, unless the transaction gives it the time."""
    participants.delay("TransOutTimeout", 1.2)
    body = saga(participants, "g", "TransOutTimeout", **options) | {"payloads": ["null"]}
    body["steps"][0]["compensate"] = ""
    assert scaled.client.post("submit", body) == SUCCESS
    if calls > 1:
        while len(participants.seen("g")) < calls:
            assert scaled.client.status("g") == "submitted"
            time.sleep(0.02)
        participants.delay("TransOutTimeout", 0)
    assert scaled.client.until_final("g") == "succeed"
    outcomes = [attempt["outcome"] for attempt in scaled.client.query("g")["branches"][1]["attempts"]]
    assert outcomes == ["ERROR"] * (len(outcomes) - 1) + ["SUCCESS"]
    assert len(outcomes) == len(participants.seen("g")) >= calls
    assert {call.body for call in participants.seen("g")} == {"null"}


def test_v30_tcc(coordinator: Coordinator, participants: Participants) -> None:
    client = coordinator.client
    assert client.post("prepare", tcc("g")) == SUCCESS
    for branch_id, name in (("01", "TransOut"), ("02", "TransIn")):
        assert client.post("registerBranch", tcc_branch(participants, "g", branch_id, name)) == SUCCESS
    assert client.post("submit", tcc("g")) == SUCCESS
    assert client.until_final("g") == "succeed"
    assert participants.of("g") == ["confirm 02 POST TransInConfirm", "confirm 01 POST TransOutConfirm"]
    assert client.branches("g") == "psps"


def test_v32_tcc_timeout(scaled: Coordinator, participants: Participants) -> None:
    client = scaled.client
    body = tcc("g", timeout_to_fail=2)
    assert client.post("prepare", body) == SUCCESS
    assert client.post("registerBranch", tcc_branch(participants, "g", "01", "TransOut")) == SUCCESS
    assert client.until_final("g") == "failed"
    assert participants.of("g") == ["cancel 01 POST TransOutRevert"]
    assert client.branches("g") == "sp"
    assert client.query("g")["transaction"]["rollback_reason"] == "Timeout after 2 seconds"
    late = tcc_branch(participants, "g", "02", "TransIn")
    for verb, what in (("registerBranch", late), ("abort", body), ("submit", body)):
        status, reply = client.post(verb, what)
        assert (status, reply["status"]) == (409, "failed")


def test_v50_xa(coordinator: Coordinator, participants: Participants) -> None:
    client = coordinator.client
    assert client.post("prepare", xa("g")) == SUCCESS
    for branch_id, name in (("01", "U1"), ("02", "U2")):
        assert client.post("registerBranch", xa_branch(participants, "g", branch_id, name)) == SUCCESS
    assert client.post("submit", xa("g")) == SUCCESS
    assert client.until_final("g") == "succeed"
    assert participants.of("g") == ["commit 01 POST U1", "commit 02 POST U2"]
    assert client.branches("g") == "psps"


def test_v60_topic(coordinator: Coordinator, participants: Participants) -> None:
    client = coordinator.client
    for name in ("TransOut", "TransIn"):
        assert client.get("subscribe", topic="http_trans", url=participants.url(name), remark="") == SUCCESS
    assert client.post("submit", msg(participants, "g", "topic://http_trans")) == SUCCESS
    assert client.until_final("g") == "succeed"
    assert participants.of("g") == ["action 01-01 POST TransOut", "action 01-02 POST TransIn"]
    assert client.branches("g") == "ss"


def test_v65_check_back(scaled: Coordinator, participants: Participants) -> None:
    assert scaled.client.post("prepare", msg2(participants, "g")) == SUCCESS
    assert scaled.client.until_final("g") == "succeed"
    assert participants.of("g") == [
        "msg 00 GET QueryPrepared",
        "action 01 POST TransOut",
        "action 02 POST TransIn",
    ]


def test_v68_delay(coordinator: Coordinator, participants: Participants) -> None:
    client = coordinator.client
    assert client.post("submit", msg2(participants, "g", custom_data='{"delay":1}')) == SUCCESS
    reply = client.query("g")
    assert reply["transaction"]["status"] == "submitted"
    assert client.until_final("g") == "succeed"
    assert participants.of("g") == ["action 01 POST TransOut", "action 02 POST TransIn"]
    created = reply["transaction"]["create_time"]
    for branch in client.query("g")["branches"]:
        assert branch["attempts"][0]["time"] > created


def test_v101_v102_looking(coordinator: Coordinator, participants: Participants) -> None:
    client = coordinator.client
    for gid in ("g1", "g2", "g3"):
        client.post("submit", saga2(participants, gid))
    assert [t["gid"] for t in client.get("all")[1]["transactions"]] == ["g3", "g2", "g1"]
    assert client.get("query", gid="unknown") == (200, {"branches": [], "transaction": None})
