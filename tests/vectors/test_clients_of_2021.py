"""The contract's vectors of the clients of August 2021 (V140 to V143), over real HTTP on SQLite."""

from __future__ import annotations

import json

import pytest

from tests.support.inside import Inside
from tests.support.participants import ONGOING, Participants
from tests.vectors.bodies import SUCCESS, P, old, prepared_tcc, saga2, tcc, tcc_branch, xa, xa_branch


def go_saga(participants: Participants, gid: str) -> dict:
    """As Go v0.10 writes it: data in the steps, and keys that nobody else has."""
    body = saga2(participants, gid, Dtm="http://localhost:8080/api/dtmsvr", WaitResult=True)
    del body["payloads"]
    for step in body["steps"]:
        step["data"] = json.dumps({"amount": 30})
    return body


async def test_v140_saga_that_waits(inside: Inside, participants: Participants) -> None:
    participants.default = old("SUCCESS")
    participants.delay("TransIn", 0.3)
    assert await inside.post("submit", go_saga(participants, "g"), wait_result=1) == SUCCESS
    assert participants.of("g") == ["action 01 POST TransOut", "action 02 POST TransIn"]
    assert {call.body for call in participants.seen("g")} == {'{"amount": 30}'}
    assert {call.query["branch_type"] for call in participants.seen("g")} == {"action"}
    assert await inside.status("g") == "succeed"


async def test_v140_wait_result_in_the_query_hears_the_rollback(inside: Inside, participants: Participants) -> None:
    participants.answer("TransIn", old("FAILURE"))
    status, reply = await inside.post("submit", go_saga(participants, "g"), wait_result=1)
    assert (status, reply["status"]) == (409, "failed")
    assert reply["message"].endswith(" FAILURE")


async def test_v140_an_abort_waits_as_well(inside: Inside, participants: Participants) -> None:
    await prepared_tcc(inside, participants, "g", "TransOut")
    assert await inside.post("abort", tcc("g"), wait_result=1) == SUCCESS
    assert await inside.status("g") == "failed"
    participants.answer("TransOutRevert", ONGOING)
    await prepared_tcc(inside, participants, "h", "TransOut")
    ongoing = {"dtm_result": "ONGOING", "message": "ONGOING"}
    assert await inside.post("abort", tcc("h"), wait_result=1) == (425, ongoing)


async def test_v140_keys_said_twice_and_nulls(inside: Inside, participants: Participants) -> None:
    url = json.dumps(participants.url("TransOut"))
    text = (
        '{"gid":"x","subType":"a","subType":"b","gid":"g","trans_type":"saga","custom_data":null,"protocol":null,'
        f'"query_prepared":null,"branch_headers":[],"steps":[{{"action":{url},"compensate":null}}],"payloads":["{{}}"]}}'
    )
    assert await inside.post("submit", text.encode()) == SUCCESS
    await inside.idle()
    assert await inside.status("g") == "succeed"
    assert await inside.status("x") is None


@pytest.mark.parametrize("trans_type", [{"trans_type": "tcc"}, {}])
async def test_v142_register_tcc_branch(inside: Inside, participants: Participants, trans_type: dict) -> None:
    await inside.post("prepare", tcc("g"))
    body = {
        "gid": "g",
        "branch_id": "1",
        "data": P,
        "try": participants.url("TransOut"),
        "confirm": participants.url("TransOutConfirm"),
        "cancel": participants.url("TransOutRevert"),
    }
    assert await inside.post("registerTccBranch", body | trans_type) == SUCCESS
    assert await inside.submit(tcc("g")) == SUCCESS
    assert participants.of("g") == ["confirm 1 POST TransOutConfirm"]


@pytest.mark.parametrize("trans_type", [{"trans_type": "xa"}, {}])
async def test_v143_register_xa_branch(inside: Inside, participants: Participants, trans_type: dict) -> None:
    await inside.post("prepare", xa("g"))
    body = {"gid": "g", "branch_id": "0101", "url": participants.url("Xa?tenant=1")}
    assert await inside.post("registerXaBranch", body | trans_type) == SUCCESS
    assert await inside.submit(xa("g")) == SUCCESS
    (call,) = participants.seen("g")
    assert str(call) == "commit 0101 POST Xa"
    assert call.query == {
        "tenant": "1",
        "gid": "g",
        "trans_type": "xa",
        "branch_id": "0101",
        "op": "commit",
        "branch_type": "commit",
    }


async def test_v142_v143_the_stored_type_is_what_counts(inside: Inside, participants: Participants) -> None:
    await inside.post("prepare", tcc("g"))
    await inside.post("prepare", xa("h"))
    for verb, body in (
        ("registerXaBranch", {"gid": "g", "branch_id": "01", "url": participants.url("U")}),
        ("registerBranch", xa_branch(participants, "g", "01", "U")),
        ("registerTccBranch", {"gid": "h", "branch_id": "01"}),
        ("registerBranch", tcc_branch(participants, "h", "01", "TransOut")),
    ):
        status, reply = await inside.post(verb, body)
        assert (status, reply["dtm_result"], reply["status"]) == (409, "FAILURE", "prepared")
    assert await inside.branches("g") == await inside.branches("h") == ""
