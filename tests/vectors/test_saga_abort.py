"""Where this server differs, point 10: a submitted saga can be aborted."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.inside import Inside
from tests.support.participants import ERROR, ONGOING, Participants, Reply
from tests.vectors.bodies import SUCCESS, saga, saga2
from tests.vectors.conftest import Holding

ABORT = {"gid": "g", "trans_type": "saga", "rollback_reason": "second thoughts"}


@pytest.mark.parametrize("answer", [ONGOING, ERROR])
async def test_what_ran_or_may_have_run_is_compensated(
    inside: Inside, participants: Participants, answer: Reply
) -> None:
    participants.answer("TransIn", answer)
    await inside.submit(saga(participants, "g", "TransOut", "TransIn", "TransFar"))
    assert await inside.post("abort", ABORT) == SUCCESS
    await inside.idle()
    assert participants.of("g")[2:] == ["compensate 02 POST TransInRevert", "compensate 01 POST TransOutRevert"]
    assert (await inside.status("g"), await inside.branches("g")) == ("failed", "sssppp")
    assert (await inside.transaction("g"))["rollback_reason"] == "second thoughts"


async def test_nothing_more_begins_and_what_flies_lands_first(inside: Inside, holding: Holding) -> None:
    assert await inside.post("submit", saga2(holding, "g", request_timeout=30)) == SUCCESS
    await holding.called()
    assert await inside.post("abort", ABORT) == SUCCESS
    assert await inside.status("g") == "aborting"
    assert holding.of("g") == ["action 01 POST TransOut"]
    holding.release()
    await inside.idle()
    assert holding.of("g") == ["action 01 POST TransOut", "compensate 01 POST TransOutRevert"]
    assert await inside.status("g") == "failed"


async def test_a_waiting_submit_hears_of_it(inside: Inside, holding: Holding) -> None:
    waiting = asyncio.create_task(inside.post("submit", saga2(holding, "g", wait_result=True, request_timeout=30)))
    await holding.called()
    aborting = asyncio.create_task(inside.post("abort", ABORT))  # it waits as well: the stored options say so
    while await inside.status("g") != "aborting":
        await asyncio.sleep(0.01)
    holding.release()
    assert await aborting == SUCCESS
    message = "second thoughts FAILURE"
    assert await waiting == (409, {"dtm_result": "FAILURE", "message": message, "status": "failed"})


async def test_aborted_again(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", ONGOING)
    participants.answer("TransOutRevert", ERROR)
    await inside.submit(saga2(participants, "g"))
    assert await inside.post("abort", ABORT) == SUCCESS
    await inside.idle()
    assert await inside.status("g") == "aborting"
    assert await inside.post("abort", ABORT | {"rollback_reason": "third thoughts"}) == SUCCESS
    await inside.idle()
    assert participants.of("g")[1:] == ["compensate 01 POST TransOutRevert"] * 2
    transaction = await inside.transaction("g")
    assert (transaction["status"], transaction["rollback_reason"]) == ("failed", "second thoughts")


async def test_a_saga_that_has_ended(inside: Inside, participants: Participants) -> None:
    await inside.submit(saga2(participants, "g"))
    message = "trans type: 'saga' current status 'succeed', cannot abort. FAILURE"
    refusal = {"dtm_result": "FAILURE", "message": message, "status": "succeed"}
    assert await inside.post("abort", ABORT) == (409, refusal)
