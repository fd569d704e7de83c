"""The contract's vectors of xa (V50 to V53), over real HTTP on SQLite."""

from __future__ import annotations

from tests.support.inside import Inside
from tests.support.participants import Participants
from tests.vectors.bodies import SUCCESS, old, prepared_xa, xa, xa_branch


async def test_v50_normal(inside: Inside, participants: Participants) -> None:
    await prepared_xa(inside, participants, "g", "U1", "U2")
    assert await inside.submit(xa("g")) == SUCCESS
    assert participants.of("g") == ["commit 01 POST U1", "commit 02 POST U2"]
    for call in participants.seen("g"):
        assert call.body == ""
        assert call.headers["content-length"] == "0"
        assert call.query == {
            "gid": "g",
            "trans_type": "xa",
            "branch_id": call.branch_id,
            "op": "commit",
            "branch_type": "commit",
        }
    branches = (await inside.get("query", gid="g"))[1]["branches"]
    assert [(b["op"], b["branch_id"]) for b in branches] == [
        ("rollback", "01"),
        ("commit", "01"),
        ("rollback", "02"),
        ("commit", "02"),
    ]
    assert (await inside.status("g"), await inside.branches("g")) == ("succeed", "psps")


async def test_v51_rollback(inside: Inside, participants: Participants) -> None:
    await prepared_xa(inside, participants, "g", "U1")
    assert await inside.post("abort", xa("g")) == SUCCESS
    await inside.idle()
    assert participants.of("g") == ["rollback 01 POST U1"]
    assert (await inside.status("g"), await inside.branches("g")) == ("failed", "sp")


async def test_v51_rollbacks_in_order_of_registration(inside: Inside, participants: Participants) -> None:
    await prepared_xa(inside, participants, "g", "U1", "U2")
    assert await inside.post("abort", xa("g")) == SUCCESS
    await inside.idle()
    assert participants.of("g") == ["rollback 01 POST U1", "rollback 02 POST U2"]


async def test_v52_timeout(inside: Inside, participants: Participants) -> None:
    await prepared_xa(inside, participants, "g")
    await inside.tick(now=300)
    assert (await inside.status("g"), await inside.branches("g")) == ("failed", "")
    assert (await inside.transaction("g"))["rollback_reason"] == "Timeout after 35 seconds"
    message = "current status 'failed', cannot sumbmit. FAILURE"
    refusal = {"dtm_result": "FAILURE", "message": message, "status": "failed"}
    assert await inside.post("submit", xa("g")) == (409, refusal)
    assert participants.calls == []


async def test_v53_not_timed_out(inside: Inside, participants: Participants) -> None:
    participants.answer("U1", old("ONGOING"))
    await prepared_xa(inside, participants, "g")
    await inside.tick()
    assert (await inside.status("g"), participants.calls) == ("prepared", [])
    assert await inside.post("registerBranch", xa_branch(participants, "g", "01", "U1")) == SUCCESS
    assert await inside.submit(xa("g")) == SUCCESS
    assert (await inside.status("g"), await inside.branches("g")) == ("submitted", "pp")
    await inside.tick()
    assert (await inside.status("g"), await inside.branches("g")) == ("succeed", "ps")
    assert participants.of("g") == ["commit 01 POST U1"] * 2
