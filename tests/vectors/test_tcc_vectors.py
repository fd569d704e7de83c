"""The contract's vectors of tcc (V30 to V45), over real HTTP on SQLite."""

from __future__ import annotations

import re

import pytest

from tests.support.inside import Inside
from tests.support.participants import ERROR, ONGOING, Participants, failure
from tests.vectors.bodies import SUCCESS, P, old, prepared_tcc, tcc, tcc_branch

TIMEOUT = re.compile(r"Timeout after \d+ seconds")


async def test_v30_normal(inside: Inside, participants: Participants) -> None:
    await prepared_tcc(inside, participants, "g", "TransOut", "TransIn")
    assert (await inside.status("g"), await inside.branches("g")) == ("prepared", "pppp")
    assert participants.of("g") == []
    assert await inside.submit(tcc("g")) == SUCCESS
    assert participants.of("g") == ["confirm 02 POST TransInConfirm", "confirm 01 POST TransOutConfirm"]
    for call in participants.seen("g"):
        assert call.body == P
        assert call.query == {
            "gid": "g",
            "trans_type": "tcc",
            "branch_id": call.branch_id,
            "op": "confirm",
            "branch_type": "confirm",
        }
    branches = (await inside.get("query", gid="g"))[1]["branches"]
    assert [(b["op"], b["branch_id"]) for b in branches] == [
        ("cancel", "01"),
        ("confirm", "01"),
        ("cancel", "02"),
        ("confirm", "02"),
    ]
    assert (await inside.status("g"), await inside.branches("g")) == ("succeed", "psps")


async def test_rollback(inside: Inside, participants: Participants) -> None:
    await prepared_tcc(inside, participants, "g", "TransOut", "TransIn")
    assert await inside.post("abort", tcc("g", rollback_reason="out of stock")) == SUCCESS
    await inside.idle()
    assert participants.of("g") == ["cancel 02 POST TransInRevert", "cancel 01 POST TransOutRevert"]
    assert (await inside.status("g"), await inside.branches("g")) == ("failed", "spsp")
    assert (await inside.transaction("g"))["rollback_reason"] == "out of stock"


async def test_v32_timeout(inside: Inside, participants: Participants) -> None:
    await prepared_tcc(inside, participants, "g", "TransOut")
    assert await inside.tick() == 1
    assert (await inside.status("g"), participants.of("g")) == ("prepared", [])
    assert await inside.tick(now=300) == 1
    assert participants.of("g") == ["cancel 01 POST TransOutRevert"]
    assert (await inside.status("g"), await inside.branches("g")) == ("failed", "sp")
    assert (await inside.transaction("g"))["rollback_reason"] == "Timeout after 35 seconds"
    registration = await inside.post("registerBranch", tcc_branch(participants, "g", "02", "TransIn"))
    message = "no trans with gid: g status: prepared found FAILURE"
    assert registration == (409, {"dtm_result": "FAILURE", "message": message, "status": "failed"})
    message = "trans type: 'tcc' current status 'failed', cannot abort. FAILURE"
    refusal = {"dtm_result": "FAILURE", "message": message, "status": "failed"}
    assert await inside.post("abort", tcc("g")) == (409, refusal)


async def test_v32_its_own_timeout(inside: Inside, participants: Participants) -> None:
    await prepared_tcc(inside, participants, "g", "TransOut", timeout_to_fail=1000)
    await inside.tick(now=900)
    assert await inside.status("g") == "prepared"
    await inside.tick(now=1001)
    assert (await inside.transaction("g"))["rollback_reason"] == "Timeout after 1000 seconds"


@pytest.mark.parametrize(
    ("decide", "calls", "end"),
    [
        ("submit", ["confirm 02 POST TransInConfirm", "confirm 01 POST TransOutConfirm"], ("succeed", "psps")),
        ("abort", ["cancel 02 POST TransInRevert", "cancel 01 POST TransOutRevert"], ("failed", "spsp")),
        ("", ["cancel 02 POST TransInRevert", "cancel 01 POST TransOutRevert"], ("failed", "spsp")),
    ],
)
async def test_v34_old_participants(
    inside: Inside, participants: Participants, decide: str, calls: list[str], end: tuple[str, str]
) -> None:
    participants.default = old("SUCCESS")
    participants.answer(calls[1].split()[-1], old("ONGOING"), old("FAILURE"))
    await prepared_tcc(inside, participants, "g", "TransOut", "TransIn")
    if decide:
        assert await inside.post(decide, tcc("g")) == SUCCESS
        await inside.idle()
    else:
        await inside.tick(now=300)
        assert TIMEOUT.fullmatch((await inside.transaction("g"))["rollback_reason"])
    assert participants.of("g") == calls
    for _ in range(2):
        await inside.tick(sel=1000)
    assert participants.of("g") == [*calls, calls[1], calls[1]]
    assert (await inside.status("g"), await inside.branches("g")) == end


async def test_v35_nothing_to_call(inside: Inside, participants: Participants) -> None:
    assert await inside.post("prepare", tcc("g", branch_headers={"test_header": "test"})) == SUCCESS
    body = tcc_branch(participants, "g", "01", "TransOut", confirm="", cancel="")
    assert await inside.post("registerBranch", body) == SUCCESS
    assert await inside.submit(tcc("g")) == SUCCESS
    assert participants.calls == []
    assert (await inside.status("g"), await inside.branches("g")) == ("succeed", "ps")


async def test_v35_headers_of_the_prepare(inside: Inside, participants: Participants) -> None:
    await prepared_tcc(inside, participants, "g", "TransOut", branch_headers={"test_header": "test"})
    assert await inside.submit(tcc("g")) == SUCCESS
    assert [call.headers["test_header"] for call in participants.seen("g")] == ["test"]


async def test_nested_branches(inside: Inside, participants: Participants) -> None:
    """A sub-branch is registered after its parent, so it is confirmed before it."""
    await prepared_tcc(inside, participants, "g", "TransOut")
    assert await inside.post("registerBranch", tcc_branch(participants, "g", "0101", "TransIn")) == SUCCESS
    assert await inside.submit(tcc("g")) == SUCCESS
    assert participants.of("g") == ["confirm 0101 POST TransInConfirm", "confirm 01 POST TransOutConfirm"]


async def test_v37_aborted_without_branches(inside: Inside, participants: Participants) -> None:
    await prepared_tcc(inside, participants, "g")
    assert await inside.post("abort", tcc("g")) == SUCCESS
    await inside.idle()
    assert (await inside.status("g"), await inside.branches("g"), participants.calls) == ("failed", "", [])


async def test_v38_submitted_without_prepare(inside: Inside, participants: Participants) -> None:
    assert await inside.submit(tcc("g")) == SUCCESS
    assert (await inside.status("g"), await inside.branches("g"), participants.calls) == ("succeed", "", [])


@pytest.mark.parametrize("verb", ["abort", "forceStop", "resetNextCronTime"])
async def test_v39_unknown_gid(inside: Inside, verb: str) -> None:
    assert await inside.post(verb, tcc("g")) == (404, {"message": "no TransGlobal with gid: g found"})
    assert await inside.status("g") is None


@pytest.mark.parametrize(
    ("verb", "path", "goal"), [("submit", "TransInConfirm", "succeed"), ("abort", "TransInRevert", "failed")]
)
async def test_one_at_a_time_until_each_succeeds(
    inside: Inside, participants: Participants, verb: str, path: str, goal: str
) -> None:
    """A confirm never turns into a cancel, nor the other way: whatever the answer, it is called again."""
    participants.answer(path, ONGOING, ERROR, failure("no"))
    await prepared_tcc(inside, participants, "g", "TransOut", "TransIn")
    assert await inside.post(verb, tcc("g")) == SUCCESS
    await inside.idle()
    under_way = await inside.status("g")
    for _ in range(2):
        await inside.tick()
        assert (await inside.status("g"), await inside.branches("g")) == (under_way, "pppp")
    assert [call.path for call in participants.seen("g")] == [path] * 3
    await inside.tick()
    assert await inside.status("g") == goal
    assert len({call.op for call in participants.seen("g")}) == 1


async def test_submitted_again_runs_what_is_left(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOutConfirm", ONGOING)
    await prepared_tcc(inside, participants, "g", "TransOut", "TransIn")
    assert await inside.submit(tcc("g")) == SUCCESS
    assert await inside.branches("g") == "ppps"
    assert await inside.submit(tcc("g")) == SUCCESS
    assert participants.of("g") == ["confirm 02 POST TransInConfirm"] + ["confirm 01 POST TransOutConfirm"] * 2
    assert (await inside.status("g"), await inside.branches("g")) == ("succeed", "psps")


async def test_aborted_again_while_aborting(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOutRevert", ERROR)
    await prepared_tcc(inside, participants, "g", "TransOut")
    for status in ("aborting", "failed"):
        assert await inside.post("abort", tcc("g")) == SUCCESS
        await inside.idle()
        assert await inside.status("g") == status
    assert participants.of("g") == ["cancel 01 POST TransOutRevert"] * 2


async def test_v43_without_data_it_is_a_get(inside: Inside, participants: Participants) -> None:
    await prepared_tcc(inside, participants, "g")
    body = tcc_branch(participants, "g", "01", "TransOut")
    del body["data"]
    assert await inside.post("registerBranch", body) == SUCCESS
    body = tcc_branch(participants, "g", "02", "TransIn", data=None, status="prepared")
    assert await inside.post("registerBranch", body) == SUCCESS
    assert await inside.submit(tcc("g")) == SUCCESS
    assert participants.of("g") == ["confirm 02 GET TransInConfirm", "confirm 01 GET TransOutConfirm"]


async def test_a_query_of_its_own_comes_first(inside: Inside, participants: Participants) -> None:
    await prepared_tcc(inside, participants, "g")
    confirm = participants.url("Confirm?tenant=blue%20sky&x=")
    assert await inside.post("registerBranch", tcc_branch(participants, "g", "01", "A", confirm=confirm)) == SUCCESS
    assert await inside.submit(tcc("g")) == SUCCESS
    (call,) = participants.seen("g")
    assert list(call.query) == ["tenant", "x", "branch_id", "branch_type", "gid", "op", "trans_type"]
    assert call.query["tenant"] == "blue sky"


async def test_v45_refused_registrations(inside: Inside, participants: Participants) -> None:
    await prepared_tcc(inside, participants, "g")
    body = tcc_branch(participants, "g", "01", "TransOut")
    status, reply = await inside.post("registerBranch", body | {"trans_type": "abc"})
    assert (status, reply["errors"]) == (400, [{"pointer": "/trans_type", "message": "unknow trans type: abc"}])
    for bad in ({"gid": 1}, body | {"data": {"amount": 30}}, body | {"branch_id": ""}, body | {"confirm": "no url"}):
        status, reply = await inside.post("registerBranch", bad)
        assert (status, set(reply)) == (400, {"message", "errors"})
    assert await inside.post("registerBranch", body | {"gid": "unknown"}) == (
        409,
        {"dtm_result": "FAILURE", "message": "no trans with gid: unknown status: prepared found FAILURE"},
    )
    assert await inside.branches("g") == ""
