"""The contract's vectors of saga, V01 to V11: forward, backward, waiting; over real HTTP on SQLite."""

from __future__ import annotations

import base64
import json

from tests.support.inside import Inside
from tests.support.participants import ERROR, ONGOING, Participants, failure
from tests.vectors.bodies import SUCCESS, P, saga, saga2

POOR = failure("Insufficient balance")


async def test_v01_normal(inside: Inside, participants: Participants) -> None:
    assert await inside.submit(saga2(participants, "g")) == SUCCESS
    assert participants.of("g") == ["action 01 POST TransOut", "action 02 POST TransIn"]
    for call in participants.seen("g"):
        assert call.body == P
        assert call.query == {
            "gid": "g",
            "trans_type": "saga",
            "branch_id": call.branch_id,
            "op": "action",
            "branch_type": "action",
        }
        assert call.headers["content-type"] == "application/json"
    assert await inside.branches("g") == "psps"
    transaction = await inside.transaction("g")
    assert transaction["status"] == "succeed"
    assert "rollback_reason" not in transaction
    assert "rollback_time" not in transaction
    assert transaction["finish_time"]
    assert json.loads(transaction["options"]) == {"concurrent": False}


async def test_v02_rollback(inside: Inside, participants: Participants) -> None:
    participants.answer("TransIn", POOR)
    assert await inside.submit(saga2(participants, "g")) == SUCCESS
    assert participants.of("g") == [
        "action 01 POST TransOut",
        "action 02 POST TransIn",
        "compensate 02 POST TransInRevert",
        "compensate 01 POST TransOutRevert",
    ]
    assert {call.body for call in participants.seen("g")} == {P}
    assert await inside.branches("g") == "sssf"
    transaction = await inside.transaction("g")
    assert transaction["status"] == "failed"
    url = participants.url("TransIn")
    reason = f'url:{url} return failed: {{"error":"reason:Insufficient balance. FAILURE"}} FAILURE'
    assert transaction["rollback_reason"] == reason
    assert transaction["rollback_time"]
    assert "finish_time" not in transaction


async def test_v03_ongoing_then_success(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", ONGOING)
    assert await inside.submit(saga2(participants, "g")) == SUCCESS
    assert participants.of("g") == ["action 01 POST TransOut"]
    assert await inside.branches("g") == "pppp"
    transaction = await inside.transaction("g")
    assert (transaction["status"], transaction["next_cron_interval"]) == ("submitted", 10)
    assert await inside.tick() == 1
    assert participants.of("g")[1:] == ["action 01 POST TransOut", "action 02 POST TransIn"]
    assert await inside.branches("g") == "psps"
    assert await inside.status("g") == "succeed"


async def test_v04_failed_compensation_is_retried(inside: Inside, participants: Participants) -> None:
    participants.answer("TransIn", POOR)
    participants.answer("TransOutRevert", ERROR)
    assert await inside.submit(saga2(participants, "g")) == SUCCESS
    assert participants.of("g") == [
        "action 01 POST TransOut",
        "action 02 POST TransIn",
        "compensate 02 POST TransInRevert",
        "compensate 01 POST TransOutRevert",
    ]
    assert await inside.status("g") == "aborting"
    assert await inside.branches("g") == "pssf"
    assert await inside.tick() == 1
    assert participants.of("g")[4:] == ["compensate 01 POST TransOutRevert"]
    assert await inside.branches("g") == "sssf"
    assert await inside.status("g") == "failed"


async def test_v05_submitted_again(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", ONGOING)
    assert await inside.submit(saga2(participants, "g")) == SUCCESS
    assert await inside.submit(saga2(participants, "g")) == SUCCESS
    assert participants.of("g")[1:] == ["action 01 POST TransOut", "action 02 POST TransIn"]
    assert await inside.status("g") == "succeed"
    message = "current status 'succeed', cannot sumbmit. FAILURE"
    refusal = {"dtm_result": "FAILURE", "message": message, "status": "succeed"}
    assert await inside.submit(saga2(participants, "g")) == (409, refusal)
    assert len(participants.of("g")) == 3


async def test_v06_empty_urls(inside: Inside, participants: Participants) -> None:
    steps = [{"action": participants.url("TransOut"), "compensate": ""}, {"action": "", "compensate": ""}]
    assert await inside.submit(saga2(participants, "g") | {"steps": steps}) == SUCCESS
    assert participants.of("g") == ["action 01 POST TransOut"]
    assert await inside.branches("g") == "psps"
    assert await inside.status("g") == "succeed"


async def test_v07_empty_compensations(inside: Inside, participants: Participants) -> None:
    steps = [{"action": participants.url(name), "compensate": ""} for name in ("TransOut", "TransIn")]
    participants.answer("TransIn", POOR)
    assert await inside.submit(saga2(participants, "g") | {"steps": steps}) == SUCCESS
    assert participants.of("g") == ["action 01 POST TransOut", "action 02 POST TransIn"]
    assert await inside.branches("g") == "sssf"
    assert await inside.status("g") == "failed"


async def test_v08_data_in_the_steps(inside: Inside, participants: Participants) -> None:
    body = saga2(participants, "g")
    del body["payloads"]
    for amount, step in enumerate(body["steps"], start=30):
        step["data"] = json.dumps({"amount": amount})
    assert await inside.submit(body) == SUCCESS
    assert participants.of("g") == ["action 01 POST TransOut", "action 02 POST TransIn"]
    assert [call.body for call in participants.seen("g")] == ['{"amount": 30}', '{"amount": 31}']
    assert await inside.branches("g") == "psps"
    first = (await inside.get("query", gid="g"))[1]["branches"][0]
    assert base64.b64decode(first["bin_data"]) == b'{"amount": 30}'


async def test_v09_waits_for_the_end(inside: Inside, participants: Participants) -> None:
    assert await inside.post("submit", saga2(participants, "g", wait_result=True)) == SUCCESS
    assert participants.of("g") == ["action 01 POST TransOut", "action 02 POST TransIn"]
    assert await inside.branches("g") == "psps"
    assert await inside.status("g") == "succeed"


async def test_v10_waits_in_vain_for_ongoing(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", ONGOING)
    message = "wait result not return success: FAILURE"
    refusal = {"dtm_result": "FAILURE", "message": message, "status": "submitted"}
    assert await inside.post("submit", saga2(participants, "g", wait_result=True)) == (409, refusal)
    assert await inside.branches("g") == "pppp"
    assert await inside.status("g") == "submitted"
    assert await inside.tick() == 1
    assert await inside.status("g") == "succeed"


async def test_v11_waits_for_the_rollback(inside: Inside, participants: Participants) -> None:
    participants.answer("TransIn", POOR)
    status, reply = await inside.post("submit", saga2(participants, "g", wait_result=True))
    assert (status, reply["dtm_result"], reply["status"]) == (409, "FAILURE", "failed")
    assert "Insufficient balance" in reply["message"]
    assert reply["message"].endswith(" FAILURE")
    assert not reply["message"].endswith("FAILURE FAILURE")
    assert await inside.branches("g") == "sssf"


async def test_a_saga_without_steps_succeeds_at_once(inside: Inside, participants: Participants) -> None:
    for gid, more in (("absent", {}), ("null", {"steps": None, "payloads": None}), ("empty", {"steps": []})):
        assert await inside.submit({"gid": gid, "trans_type": "saga", **more}) == SUCCESS
        assert await inside.status(gid) == "succeed"
        assert await inside.branches(gid) == ""


async def test_a_step_that_was_never_called_is_not_compensated(inside: Inside, participants: Participants) -> None:
    participants.answer("TransIn", POOR)
    body = saga(participants, "g", "TransOut", "TransIn", "TransFar", "TransFarther")
    assert await inside.submit(body) == SUCCESS
    assert participants.of("g")[2:] == ["compensate 02 POST TransInRevert", "compensate 01 POST TransOutRevert"]
    assert await inside.branches("g") == "sssfpppp"
    assert await inside.status("g") == "failed"


async def test_a_compensation_may_not_fail(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", POOR)
    participants.answer("TransOutRevert", POOR, ONGOING)
    assert await inside.submit(saga2(participants, "g")) == SUCCESS
    assert (await inside.status("g"), await inside.branches("g")) == ("aborting", "pfpp")
    assert (await inside.transaction("g"))["next_cron_interval"] == 20
    await inside.tick()
    assert (await inside.status("g"), await inside.branches("g")) == ("aborting", "pfpp")
    await inside.tick()
    assert (await inside.status("g"), await inside.branches("g")) == ("failed", "sfpp")
    assert participants.of("g")[1:] == ["compensate 01 POST TransOutRevert"] * 3
