"""Where this server differs, points 2, 4, 5 and 6: what makes two requests the same, and what a second one does."""

from __future__ import annotations

import asyncio
import json
import unicodedata
from typing import Any

import pytest

from tests.support.inside import Inside
from tests.support.participants import ERROR, ONGOING, Participants, failure
from tests.vectors.bodies import SUCCESS, P, msg, msg2, prepared_tcc, prepared_xa, saga2, tcc, tcc_branch, xa, xa_branch
from tests.vectors.conftest import Holding


async def test_gids_are_compared_byte_for_byte(inside: Inside, participants: Participants) -> None:
    gids = ["a", "A", "a ", " a", "á", unicodedata.normalize("NFD", "á"), "ａ"]
    for number, gid in enumerate(gids):
        body = saga2(participants, gid) | {"payloads": [str(number)] * 2}
        assert await inside.submit(body) == SUCCESS
    for number, gid in enumerate(gids):
        assert {call.body for call in participants.seen(gid)} == {str(number)}
        assert (await inside.transaction(gid))["gid"] == gid
    assert len((await inside.get("all"))[1]["transactions"]) == len(gids)


def other_contents(participants: Participants) -> list[dict[str, Any]]:
    """Requests with gid g that are not saga2."""
    body = saga2(participants, "g")
    return [
        body | {"payloads": [P, P.replace("30", "31")]},
        body | {"payloads": [P, P, P]},
        body | {"payloads": [P, f"{P} "]},
        body | {"steps": body["steps"][::-1]},
        body | {"steps": body["steps"][:1]},
        body | {"steps": [body["steps"][0], body["steps"][1] | {"compensate": ""}]},
        msg2(participants, "g"),
        tcc("g"),
    ]


async def test_other_content_is_refused_and_the_first_stands(inside: Inside, participants: Participants) -> None:
    participants.default = ONGOING
    assert await inside.submit(saga2(participants, "g")) == SUCCESS
    before = await inside.get("query", gid="g")
    for body in other_contents(participants):
        status, reply = await inside.submit(body)
        assert (status, reply["dtm_result"], reply["status"]) == (409, "FAILURE", "submitted")
    assert await inside.get("query", gid="g") == before
    assert participants.of("g") == ["action 01 POST TransOut"]


async def test_what_the_later_request_leaves_out_matches(inside: Inside, participants: Participants) -> None:
    participants.default = ONGOING
    body = saga2(participants, "g")
    assert await inside.submit(body) == SUCCESS
    for left_out in ({"steps": None}, {"steps": None, "payloads": None}):
        assert await inside.submit(body | left_out) == SUCCESS
    assert await inside.submit(body | {"unknown": 1, "protocol": "http"}) == SUCCESS
    assert len(participants.of("g")) == 4


async def test_options_are_no_part_of_the_content(inside: Inside, participants: Participants) -> None:
    participants.default = ONGOING
    assert await inside.submit(saga2(participants, "g", timeout_to_fail=100)) == SUCCESS
    again = saga2(participants, "g", timeout_to_fail=7, branch_headers={"a": "b"}, custom_data='{"concurrent":true}')
    assert await inside.submit(again) == SUCCESS
    transaction = await inside.transaction("g")
    assert json.loads(transaction["options"]) == {"concurrent": False, "timeout_to_fail": 100}
    assert "custom_data" not in transaction


async def test_content_is_compared_before_topics_are_expanded(inside: Inside, participants: Participants) -> None:
    participants.default = ONGOING
    await inside.post("subscribe", topic="t", url=participants.url("TransOut"))
    body = msg(participants, "g", "topic://t")
    assert await inside.submit(body) == SUCCESS
    await inside.post("subscribe", topic="t", url=participants.url("TransIn"))
    assert await inside.submit(body) == SUCCESS
    await inside.post("unsubscribe", topic="t", url=participants.url("TransOut"))
    assert await inside.submit(body) == SUCCESS
    assert participants.of("g") == ["action 01 POST TransOut"] * 3
    status, _ = await inside.submit(msg(participants, "g", "TransOut"))
    assert status == 409


async def test_at_the_end_it_hears_the_status(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", failure("no"))
    await inside.submit(saga2(participants, "g"))
    status, reply = await inside.submit(saga2(participants, "g"))
    assert (status, reply["status"]) == (409, "failed")
    assert reply["message"] == "current status 'failed', cannot sumbmit. FAILURE"


async def test_submits_at_once_are_one_run(inside: Inside, holding: Holding) -> None:
    body = saga2(holding, "g", request_timeout=30)
    assert await asyncio.gather(*[inside.post("submit", body) for _ in range(5)]) == [SUCCESS] * 5
    holding.release()
    await inside.idle()
    assert holding.of("g") == ["action 01 POST TransOut", "action 02 POST TransIn"]
    assert await inside.status("g") == "succeed"


async def test_second_submits_wait_for_the_one_run(inside: Inside, holding: Holding) -> None:
    body = saga2(holding, "g", request_timeout=30)
    assert await inside.post("submit", body) == SUCCESS
    waiting = asyncio.gather(*[inside.post("submit", body | {"wait_result": True}) for _ in range(3)])
    finished, _ = await asyncio.wait([waiting], timeout=1)
    assert not finished
    holding.release()
    assert await waiting == [SUCCESS] * 3
    assert await inside.status("g") == "succeed"
    assert holding.of("g") == ["action 01 POST TransOut", "action 02 POST TransIn"]


async def test_a_second_prepare(inside: Inside, participants: Participants) -> None:
    assert await inside.post("prepare", msg2(participants, "g")) == SUCCESS
    assert await inside.post("prepare", msg2(participants, "g")) == SUCCESS
    status, reply = await inside.post("prepare", msg2(participants, "g") | {"payloads": [P, "other"]})
    assert (status, reply["dtm_result"], reply["status"]) == (409, "FAILURE", "prepared")
    status, reply = await inside.post("submit", msg2(participants, "g") | {"payloads": [P, "other"]})
    assert (status, reply["status"]) == (409, "prepared")
    assert await inside.status("g") == "prepared"


async def test_a_branch_registered_again(inside: Inside, participants: Participants) -> None:
    await prepared_tcc(inside, participants, "g", "TransOut")
    body = tcc_branch(participants, "g", "01", "TransOut")
    assert await inside.post("registerBranch", body) == SUCCESS
    others = [body | {"data": "{}"}, body | {"confirm": ""}, body | {"cancel": participants.url("Other")}]
    for other in others:
        status, reply = await inside.post("registerBranch", other)
        assert (status, reply["dtm_result"], reply["status"]) == (409, "FAILURE", "prepared")
    assert await inside.branches("g") == "pp"
    assert await inside.submit(tcc("g")) == SUCCESS
    assert [(str(call), call.body) for call in participants.seen("g")] == [("confirm 01 POST TransOutConfirm", P)]


async def test_an_xa_branch_registered_again(inside: Inside, participants: Participants) -> None:
    await prepared_xa(inside, participants, "g", "U1")
    assert await inside.post("registerBranch", xa_branch(participants, "g", "01", "U1")) == SUCCESS
    status, reply = await inside.post("registerBranch", xa_branch(participants, "g", "01", "U2"))
    assert (status, reply["status"]) == (409, "prepared")
    assert await inside.submit(xa("g")) == SUCCESS
    assert participants.of("g") == ["commit 01 POST U1"]


async def test_options_of_the_submit_replace_those_of_the_prepare(inside: Inside, participants: Participants) -> None:
    body = msg2(participants, "g")
    prepare = body | {"timeout_to_fail": 100, "retry_interval": 15, "branch_headers": {"a": "prepare"}}
    assert await inside.post("prepare", prepare) == SUCCESS
    submit = body | {"retry_interval": 20, "custom_data": '{"delay":10}', "timeout_to_fail": 0, "branch_headers": {}}
    assert await inside.submit(submit) == SUCCESS
    transaction = await inside.transaction("g")
    options = {"timeout_to_fail": 100, "retry_interval": 20, "branch_headers": {"a": "prepare"}, "concurrent": False}
    assert json.loads(transaction["options"]) == options
    assert (transaction["custom_data"], transaction["next_cron_interval"]) == ('{"delay":10}', 20)
    assert participants.calls == []
    participants.answer("TransOut", ERROR)
    await inside.tick(now=11)
    assert [call.headers["a"] for call in participants.seen("g")] == ["prepare"]
    assert (await inside.transaction("g"))["next_cron_interval"] == 40


@pytest.mark.parametrize(
    "more", [{"retry_interval": 20}, {"custom_data": '{"delay":10}'}], ids=["options", "custom_data"]
)
async def test_what_the_submit_replaces_is_stored(inside: Inside, participants: Participants, more: dict) -> None:
    body = msg2(participants, "g")
    participants.answer("TransOut", ERROR)
    assert await inside.post("prepare", body | {"retry_interval": 15, "custom_data": '{"delay":5}'}) == SUCCESS
    assert await inside.submit(body | more) == SUCCESS
    transaction = await inside.transaction("g")
    expected = {"retry_interval": 15, "custom_data": '{"delay":5}'} | more
    stored = {**json.loads(transaction["options"]), "custom_data": transaction["custom_data"]}
    assert {key: stored[key] for key in expected} == expected


async def test_the_question_of_the_prepare_stands(inside: Inside, participants: Participants) -> None:
    body = msg2(participants, "g")
    assert await inside.post("prepare", body) == SUCCESS
    assert await inside.submit(body | {"query_prepared": participants.url("Other")}) == SUCCESS
    transaction = await inside.transaction("g")
    assert (transaction["status"], transaction["query_prepared"]) == ("succeed", body["query_prepared"])


async def test_headers_of_the_submit(inside: Inside, participants: Participants) -> None:
    await prepared_tcc(inside, participants, "g", "TransOut", branch_headers={"a": "prepare"})
    assert await inside.submit(tcc("g", branch_headers={"b": "submit"})) == SUCCESS
    (call,) = participants.seen("g")
    assert "a" not in call.headers
    assert call.headers["b"] == "submit"


async def test_bad_custom_data_in_the_submit(inside: Inside, participants: Participants) -> None:
    body = msg2(participants, "g")
    assert await inside.post("prepare", body) == SUCCESS
    before = await inside.get("query", gid="g")
    for custom_data in ("nonsense", '{"delay":-1}'):
        status, reply = await inside.post("submit", body | {"custom_data": custom_data})
        assert (status, reply["errors"][0]["pointer"]) == (400, "/custom_data")
    assert await inside.get("query", gid="g") == before


async def test_a_repeated_saga_may_leave_out_its_payloads(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", ONGOING)
    body = saga2(participants, "g")
    await inside.submit(body)
    del body["payloads"]
    assert await inside.submit(body) == SUCCESS
    assert await inside.status("g") == "succeed"
