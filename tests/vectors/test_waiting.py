"""Where this server differs, point 3: what a waiting caller hears."""

from __future__ import annotations

import asyncio
import http.client
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.inside import Inside
from tests.support.participants import ERROR, ONGOING, Participants, Reply, failure
from tests.vectors.bodies import SUCCESS, msg2, prepared_tcc, prepared_xa, saga2, tcc, xa
from tests.vectors.conftest import Holding

NO = failure("no")
NO_TEXT = '{"error":"reason:no. FAILURE"} FAILURE'
NOT_YET = (425, {"dtm_result": "ONGOING", "message": "ONGOING"})
UNFINISHED = "wait result not return success: FAILURE"


def conflict(message: str, status: str) -> tuple[int, dict[str, Any]]:
    return 409, {"dtm_result": "FAILURE", "message": message, "status": status}


@pytest.mark.parametrize(
    ("answer", "heard"), [(ONGOING, NOT_YET), (ERROR, NOT_YET), (NO, conflict(NO_TEXT, "submitted"))]
)
async def test_submit_of_what_cannot_fail(
    inside: Inside, participants: Participants, answer: Reply, heard: tuple[int, Any]
) -> None:
    participants.answer("TransOutConfirm", answer)
    participants.answer("U", answer)
    await prepared_tcc(inside, participants, "g", "TransOut")
    await prepared_xa(inside, participants, "h", "U")
    assert await inside.post("submit", tcc("g", wait_result=True)) == heard
    assert await inside.post("submit", xa("h", wait_result=True)) == heard
    await inside.tick()
    assert await inside.status("g") == await inside.status("h") == "succeed"


@pytest.mark.parametrize(
    ("answer", "heard"), [(ONGOING, NOT_YET), (ERROR, NOT_YET), (NO, conflict(NO_TEXT, "aborting"))]
)
async def test_abort_waits_when_the_stored_options_say_so(
    inside: Inside, participants: Participants, answer: Reply, heard: tuple[int, Any]
) -> None:
    await prepared_tcc(inside, participants, "g", "TransOut", wait_result=True)
    assert await inside.post("abort", tcc("g")) == SUCCESS
    assert await inside.status("g") == "failed"
    participants.answer("TransOutRevert", answer)
    await prepared_tcc(inside, participants, "h", "TransOut", wait_result=True)
    assert await inside.post("abort", tcc("h")) == heard
    await inside.tick()
    assert await inside.status("h") == "failed"


@pytest.mark.parametrize(
    ("answer", "message"), [(ONGOING, UNFINISHED), (ERROR, UNFINISHED), (NO, NO_TEXT)], ids=["ongoing", "error", "no"]
)
async def test_submit_of_a_message(inside: Inside, participants: Participants, answer: Reply, message: str) -> None:
    participants.answer("TransIn", answer)
    participants.delay("TransIn", 0.05)  # both are called at once, and the last answer counts
    heard = await inside.post("submit", msg2(participants, "g", wait_result=True))
    assert heard == conflict(message, "submitted")
    await inside.tick()
    assert await inside.status("g") == "succeed"


async def test_submit_of_a_delayed_message(inside: Inside, participants: Participants) -> None:
    body = msg2(participants, "g", wait_result=True, custom_data='{"delay":10}')
    assert await inside.post("submit", body) == conflict(UNFINISHED, "submitted")


async def test_submit_of_a_saga_that_meets_an_error(inside: Inside, participants: Participants) -> None:
    participants.answer("TransIn", ERROR)
    heard = await inside.post("submit", saga2(participants, "g", wait_result=True))
    assert heard == conflict(UNFINISHED, "submitted")


async def test_submit_of_a_saga_that_is_rolling_back(inside: Inside, participants: Participants) -> None:
    participants.answer("TransIn", NO)
    participants.answer("TransInRevert", ERROR)
    heard = await inside.post("submit", saga2(participants, "g", wait_result=True))
    assert heard == conflict(f"url:{participants.url('TransIn')} return failed: {NO_TEXT}", "aborting")


async def test_submit_of_a_saga_that_times_out(inside: Inside, participants: Participants) -> None:
    participants.delay("TransOut", 1.5)
    heard = await inside.post("submit", saga2(participants, "g", wait_result=True, timeout_to_fail=1))
    assert heard == conflict("Timeout after 1 seconds FAILURE", "failed")


async def test_submit_of_what_is_force_stopped_meanwhile(inside: Inside, holding: Holding) -> None:
    waiting = asyncio.create_task(inside.post("submit", saga2(holding, "g", wait_result=True, request_timeout=30)))
    await holding.called()
    assert await inside.post("forceStop", {"gid": "g"}) == SUCCESS
    holding.release()
    assert await waiting == conflict("force stopped FAILURE", "failed")


async def test_submit_of_what_nobody_runs_any_more(io_loop, tmp_path: Path, holding: Holding) -> None:
    """Its node can write no more, and no other one takes it over: it stands still, and is still under way."""
    inside = Inside(tmp_path, lease=1)
    await inside.start()
    try:
        waiting = asyncio.create_task(inside.post("submit", saga2(holding, "g", wait_result=True)))
        await holding.called()
        file = tmp_path / "dtm.db"
        file.rename(tmp_path / "moved.db")
        holding.release()
        status, reply = await asyncio.wait_for(waiting, 30)
        assert (status, reply["message"]) == (425, "ONGOING: the transaction is stored, and nobody runs it at present")
    finally:
        (tmp_path / "moved.db").rename(file)
        await inside.stop()


async def test_there_is_no_round_limit(inside: Inside, participants: Participants) -> None:
    """DTM leaves a round after five seconds; here a caller hears the end."""
    participants.delay("TransOut", 6)
    body = saga2(participants, "g", wait_result=True, request_timeout=20)
    assert await inside.post("submit", body) == SUCCESS
    assert await inside.status("g") == "succeed"


async def test_a_long_reason_is_cut(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", failure("x" * 5000))
    status, reply = await inside.post("submit", saga2(participants, "g", wait_result=True))
    assert status == 409
    assert reply["message"].endswith(" FAILURE")
    assert len((await inside.transaction("g"))["rollback_reason"]) == 1024
    await inside.post("prepare", tcc("h"))
    await inside.post("abort", tcc("h", rollback_reason="ü" * 5000))
    assert (await inside.transaction("h"))["rollback_reason"] == "ü" * 1024


async def test_no_reply_says_two_words(inside: Inside, participants: Participants) -> None:
    """SDKs look for the words anywhere in the body, whatever text a participant had to say."""
    text = json.dumps({"error": "neither SUCCESS nor ONGOING"})
    participants.answer("TransOut", (409, text))

    def submit() -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(inside.client.address)
        body = json.dumps(saga2(participants, "g", wait_result=True))
        connection.request("POST", "/api/dtmsvr/submit", body, {"Content-Type": "text/plain"})
        reply = connection.getresponse()
        assert reply.getheader("Content-Type") == "application/json; charset=utf-8"
        try:
            return reply.status, reply.read()
        finally:
            connection.close()

    status, body = await asyncio.to_thread(submit)
    assert status == 409
    assert b"FAILURE" in body
    assert b"SUCCESS" not in body
    assert b"ONGOING" not in body
    assert text in json.loads(body)["message"]
