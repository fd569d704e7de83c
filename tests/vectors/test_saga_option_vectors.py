"""The contract's vectors of a saga's options, V12 to V24: time-outs, retries, headers, concurrency and orders."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from tests.support.inside import Inside
from tests.support.participants import ERROR, ONGOING, Participants, failure
from tests.vectors.bodies import SUCCESS, saga, saga2
from tests.vectors.conftest import Holding, Meeting

CONCURRENT = '{"orders":{},"concurrent":true}'


async def test_v12_timeout(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", ONGOING)
    assert await inside.submit(saga2(participants, "g", timeout_to_fail=1800)) == SUCCESS
    assert await inside.status("g") == "submitted"
    assert await inside.tick(now=3600) == 1
    assert participants.of("g")[1:] == ["compensate 01 POST TransOutRevert"]
    assert await inside.branches("g") == "sppp"
    transaction = await inside.transaction("g")
    assert (transaction["status"], transaction["rollback_reason"]) == ("failed", "Timeout after 1800 seconds")


async def test_v12_without_timeout_to_fail_a_saga_never_times_out(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", ONGOING, ONGOING)
    assert await inside.submit(saga2(participants, "g")) == SUCCESS
    assert await inside.tick(now=1_000_000) == 1
    assert participants.of("g") == ["action 01 POST TransOut"] * 2
    assert await inside.status("g") == "submitted"


async def test_v13_retry_interval_after_ongoing(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", ONGOING)
    assert await inside.submit(saga(participants, "g", "TransOut", retry_interval=150)) == SUCCESS
    assert await inside.tick(sel=130) == 0
    assert await inside.tick(sel=180) == 1
    assert (await inside.branches("g"), await inside.status("g")) == ("ps", "succeed")


async def test_v14_retry_interval_after_error(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", ERROR)
    assert await inside.submit(saga(participants, "g", "TransOut", retry_interval=150)) == SUCCESS
    assert (await inside.transaction("g"))["next_cron_interval"] == 300
    assert await inside.tick(sel=180) == 0
    assert await inside.tick(sel=360) == 1
    assert (await inside.branches("g"), await inside.status("g")) == ("ps", "succeed")


async def test_v15_retry_limit_is_enough(inside: Inside, participants: Participants) -> None:
    participants.answer("TransInRetry", ERROR, ERROR, ERROR)
    body = saga(participants, "g", "TransOut", "TransInRetry", retry_limit=3, wait_result=True)
    assert await inside.post("submit", body) == SUCCESS
    assert participants.of("g") == ["action 01 POST TransOut"] + ["action 02 POST TransInRetry"] * 4
    assert await inside.branches("g") == "psps"


async def test_retry_limit_is_exhausted(inside: Inside, participants: Participants) -> None:
    participants.answer("TransIn", ERROR, ERROR, ERROR)
    status, reply = await inside.post("submit", saga2(participants, "g", retry_limit=2, wait_result=True))
    reason = "RetryCount is greater than RetryLimit, RetryLimit: 2"
    assert (status, reply["message"]) == (409, f"{reason} FAILURE")
    assert participants.of("g") == [
        "action 01 POST TransOut",
        *["action 02 POST TransIn"] * 3,
        "compensate 02 POST TransInRevert",
        "compensate 01 POST TransOutRevert",
    ]
    assert await inside.branches("g") == "sssp"
    assert (await inside.transaction("g"))["rollback_reason"] == reason


@pytest.mark.parametrize(("request_timeout", "branches", "outcome"), [(6, "ps", "SUCCESS"), (1, "pp", "ERROR")])
async def test_v17_request_timeout(
    inside: Inside, participants: Participants, request_timeout: int, branches: str, outcome: str
) -> None:
    participants.delay("TransOutTimeout", 1.5)
    body = saga(participants, "g", "TransOutTimeout", request_timeout=request_timeout)
    body |= {"payloads": ["null"], "steps": [body["steps"][0] | {"compensate": ""}]}
    assert await inside.submit(body) == SUCCESS
    assert [(str(call), call.body) for call in participants.seen("g")] == [("action 01 POST TransOutTimeout", "null")]
    assert await inside.branches("g") == branches
    action = (await inside.get("query", gid="g"))[1]["branches"][1]
    assert [attempt["outcome"] for attempt in action["attempts"]] == [outcome]


async def test_v18_branch_headers(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", ONGOING)
    body = saga2(participants, "g", branch_headers={"test_header": "test", "Content-Type": "text/plain"})
    assert await inside.submit(body) == SUCCESS
    await inside.tick()
    assert len(participants.of("g")) == 3
    assert {call.headers["test_header"] for call in participants.seen("g")} == {"test"}
    assert {call.headers["content-type"] for call in participants.seen("g")} == {"text/plain"}


@pytest.mark.parametrize("custom_data", [CONCURRENT, '{"concurrent":true,"orders":null}', '{"concurrent":true}'])
async def test_v19_v24_both_actions_in_flight_together(
    inside: Inside, meeting: Callable[..., Meeting], custom_data: str
) -> None:
    participants = meeting("TransOut", "TransIn")
    assert await inside.submit(saga2(participants, "g", custom_data=custom_data, concurrent=True)) == SUCCESS
    assert sorted(participants.of("g")) == ["action 01 POST TransOut", "action 02 POST TransIn"]
    assert (await inside.branches("g"), await inside.status("g")) == ("psps", "succeed")
    assert json.loads((await inside.transaction("g"))["custom_data"])["concurrent"] is True


async def test_v19_the_top_level_key_says_nothing_to_a_saga(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", ONGOING)
    assert await inside.submit(saga2(participants, "g", concurrent=True)) == SUCCESS
    assert participants.of("g") == ["action 01 POST TransOut"]


async def test_concurrent_rollback_waits_for_what_is_in_flight(inside: Inside, meeting: Callable[..., Meeting]) -> None:
    participants = meeting("TransOut", "TransIn")
    participants.answer("TransOut", failure("no"))
    assert await inside.submit(saga2(participants, "g", custom_data=CONCURRENT)) == SUCCESS
    calls = participants.of("g")
    assert sorted(calls[:2]) == ["action 01 POST TransOut", "action 02 POST TransIn"]
    assert sorted(calls[2:]) == ["compensate 01 POST TransOutRevert", "compensate 02 POST TransInRevert"]
    assert (await inside.branches("g"))[:3:2] == "ss"
    assert await inside.status("g") == "failed"


async def test_concurrent_ongoing(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", ONGOING)
    assert await inside.submit(saga2(participants, "g", custom_data=CONCURRENT)) == SUCCESS
    assert await inside.branches("g") == "ppps"
    await inside.tick()
    assert participants.of("g")[2:] == ["action 01 POST TransOut"]
    assert (await inside.branches("g"), await inside.status("g")) == ("psps", "succeed")


async def test_orders_forward_and_back(inside: Inside, participants: Participants) -> None:
    names = ["A", "B", "C", "D"]
    custom_data = '{"concurrent":true,"orders":{"2":[0,1],"3":[2]}}'
    participants.answer("D", failure("no"))
    assert await inside.submit(saga(participants, "g", *names, custom_data=custom_data)) == SUCCESS
    called = [call.path for call in participants.seen("g")]
    assert sorted(called[:2]) == ["A", "B"]
    assert called[2:6] == ["C", "D", "DRevert", "CRevert"]
    assert sorted(called[6:]) == ["ARevert", "BRevert"]
    assert await inside.branches("g") == "sssssssf"


async def test_a_step_waits_while_its_predecessor_is_ongoing(inside: Inside, participants: Participants) -> None:
    participants.answer("TransIn", ONGOING)
    custom_data = '{"concurrent":true,"orders":{"0":[1]}}'
    assert await inside.submit(saga2(participants, "g", custom_data=custom_data)) == SUCCESS
    assert participants.of("g") == ["action 02 POST TransIn"]
    await inside.tick()
    assert participants.of("g")[1:] == ["action 02 POST TransIn", "action 01 POST TransOut"]
    assert await inside.status("g") == "succeed"


async def test_orders_hold_beside_the_sequence(inside: Inside, participants: Participants) -> None:
    body = saga(participants, "g", "A", "B", "C", custom_data='{"orders":{"2":[0]}}')
    assert await inside.submit(body) == SUCCESS
    assert [call.path for call in participants.seen("g")] == ["A", "B", "C"]


async def test_the_timeout_strikes_while_a_call_is_in_flight(inside: Inside, holding: Holding) -> None:
    """Its compensation waits for the call to land; what it answers decides nothing any more."""
    assert await inside.post("submit", saga2(holding, "g", timeout_to_fail=1, request_timeout=30)) == SUCCESS
    async with asyncio.timeout(20):
        while await inside.status("g") == "submitted":
            await asyncio.sleep(0.02)
    assert await inside.status("g") == "aborting"
    assert holding.of("g") == ["action 01 POST TransOut"]
    holding.release()
    await inside.idle()
    assert holding.of("g")[1:] == ["compensate 01 POST TransOutRevert"]
    transaction = await inside.transaction("g")
    assert (transaction["status"], transaction["rollback_reason"]) == ("failed", "Timeout after 1 seconds")
