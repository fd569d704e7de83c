"""The contract's vectors of the two-phase message (V60 to V73), over real HTTP on SQLite."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.inside import Inside
from tests.support.participants import ERROR, ONGOING, Participants, failure
from tests.vectors.bodies import SUCCESS, P, msg, msg2
from tests.vectors.conftest import Holding, Meeting

BOTH = ["action 01 POST TransOut", "action 02 POST TransIn"]
QUESTION = "msg 00 GET QueryPrepared"


async def test_v60_topic(inside: Inside, holding: Holding) -> None:
    for name in ("TransOut", "TransIn"):
        subscription = {"topic": "http_trans", "url": holding.url(name), "remark": "who"}
        assert await inside.get("subscribe", **subscription) == SUCCESS
    assert await inside.post("submit", msg(holding, "g", "topic://http_trans")) == SUCCESS
    assert await inside.status("g") == "submitted"
    holding.release()
    await inside.idle()
    assert holding.of("g") == ["action 01-01 POST TransOut", "action 01-02 POST TransIn"]
    assert {call.body for call in holding.seen("g")} == {P}
    assert (await inside.status("g"), await inside.branches("g")) == ("succeed", "ss")


async def test_v60_a_topic_is_expanded_when_the_message_is_made(inside: Inside, participants: Participants) -> None:
    await inside.post("subscribe", topic="t", url=participants.url("TransOut"))
    body = msg(participants, "g", "topic://t", "TransIn")
    assert await inside.post("prepare", body) == SUCCESS
    await inside.post("subscribe", topic="t", url=participants.url("TransLate"))
    assert await inside.submit(body) == SUCCESS
    assert participants.of("g") == BOTH


async def test_v63_prepared_twice(inside: Inside, participants: Participants) -> None:
    body = msg2(participants, "g")
    assert await inside.post("prepare", body) == SUCCESS
    assert await inside.post("prepare", body) == SUCCESS
    assert await inside.submit(body) == SUCCESS
    assert participants.of("g") == BOTH
    message = "current status 'succeed', cannot prepare. FAILURE"
    refusal = {"dtm_result": "FAILURE", "message": message, "status": "succeed"}
    assert await inside.post("prepare", body) == (409, refusal)


async def test_v64_unknown_topic(inside: Inside, participants: Participants) -> None:
    for verb in ("submit", "prepare"):
        status, reply = await inside.post(verb, msg(participants, "g", "TransOut", "topic://nope"))
        assert status == 400
        assert "topic not found" in reply["message"]
        assert reply["errors"] == [{"pointer": "/steps/1/action", "message": "topic not found: nope"}]
    assert await inside.status("g") is None
    assert participants.calls == []


async def test_v65_checked_back_after_the_timeout(inside: Inside, participants: Participants) -> None:
    assert await inside.post("prepare", msg2(participants, "g")) == SUCCESS
    await inside.tick()
    assert (await inside.status("g"), participants.of("g")) == ("prepared", [])
    await inside.tick(now=60)
    assert participants.of("g") == [QUESTION, *BOTH]
    question = participants.seen("g")[0]
    assert question.body == ""
    assert question.query == {"gid": "g", "trans_type": "msg", "branch_id": "00", "op": "msg", "branch_type": "msg"}
    assert (await inside.status("g"), await inside.branches("g")) == ("succeed", "ss")


async def test_the_check_back_says_no(inside: Inside, participants: Participants) -> None:
    participants.answer("QueryPrepared", ONGOING, ERROR, failure("no such order"))
    assert await inside.post("prepare", msg2(participants, "g")) == SUCCESS
    for interval in (10, 20):
        await inside.tick(now=60)
        transaction = await inside.transaction("g")
        assert (transaction["status"], transaction["next_cron_interval"]) == ("prepared", interval)
    await inside.tick(now=120)
    transaction = await inside.transaction("g")
    assert transaction["status"] == "failed"
    assert "reason:no such order." in transaction["rollback_reason"]
    assert participants.of("g") == [QUESTION] * 3


async def test_v67_concurrent(inside: Inside, meeting: Callable[..., Meeting]) -> None:
    participants = meeting("TransOut", "TransIn")
    assert await inside.submit(msg2(participants, "g", concurrent=True)) == SUCCESS
    assert sorted(participants.of("g")) == BOTH
    assert (await inside.status("g"), await inside.branches("g")) == ("succeed", "ss")


async def test_v68_delay(inside: Inside, participants: Participants) -> None:
    assert await inside.submit(msg2(participants, "g", custom_data='{"delay":10}')) == SUCCESS
    assert (await inside.status("g"), await inside.branches("g"), participants.calls) == ("submitted", "pp", [])
    assert (await inside.transaction("g"))["next_cron_interval"] == 10
    assert await inside.tick(sel=0) == 0
    assert await inside.tick(sel=8) == 0
    assert await inside.tick(sel=12, now=12) == 1
    assert participants.of("g") == BOTH
    assert await inside.status("g") == "succeed"


async def test_v68_a_delay_is_kept_whoever_looks(inside: Inside, participants: Participants) -> None:
    body = msg2(participants, "g", custom_data='{"Delay":10}', concurrent=True)
    assert await inside.submit(body) == SUCCESS
    assert await inside.submit(body) == SUCCESS
    await inside.tick(sel=180)
    await inside.post("resetNextCronTime", {"gid": "g"})
    await inside.tick(sel=180, now=8)
    assert participants.calls == []
    await inside.tick(now=11)
    assert sorted(participants.of("g")) == BOTH


async def test_a_submitted_message_never_fails(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", failure("no"), ERROR, ONGOING)
    assert await inside.submit(msg2(participants, "g")) == SUCCESS
    for _ in range(2):
        await inside.tick(now=1000)
        assert (await inside.status("g"), await inside.branches("g")) == ("submitted", "pp")
    await inside.tick(now=1000)
    assert participants.of("g") == [BOTH[0]] * 4 + [BOTH[1]]
    assert (await inside.status("g"), await inside.branches("g")) == ("succeed", "ss")


async def test_v70_do_and_submit(inside: Inside, participants: Participants) -> None:
    """What the SDK sends when all goes well: prepare, its local transaction, submit."""
    body = msg2(participants, "g")
    assert await inside.post("prepare", body) == SUCCESS
    assert participants.of("g") == []
    assert await inside.submit(body) == SUCCESS
    assert participants.of("g") == BOTH
    assert await inside.status("g") == "succeed"


async def test_v70_a_business_error_aborts(inside: Inside, participants: Participants) -> None:
    body = msg2(participants, "g")
    assert await inside.post("prepare", body) == SUCCESS
    assert await inside.post("abort", body | {"rollback_reason": "poor"}) == SUCCESS
    transaction = await inside.transaction("g")
    assert (transaction["status"], transaction["rollback_reason"]) == ("failed", "poor")
    assert await inside.tick(sel=1000, now=1000) == 0
    assert participants.of("g") == []


async def test_v70_the_check_back_comes_before_the_local_transaction(
    inside: Inside, participants: Participants
) -> None:
    """The sender was too slow: its late submit and its late abort hear that the message has failed."""
    body = msg2(participants, "g")
    participants.answer("QueryPrepared", failure("rollback"))
    assert await inside.post("prepare", body) == SUCCESS
    await inside.tick(now=60)
    for verb in ("submit", "abort"):
        status, reply = await inside.post(verb, body)
        assert (status, reply["dtm_result"], reply["status"]) == (409, "FAILURE", "failed")
    assert participants.of("g") == [QUESTION]


async def test_v71_abort(inside: Inside, participants: Participants) -> None:
    reference = {"gid": "g", "trans_type": "msg"}
    assert await inside.post("prepare", msg2(participants, "g")) == SUCCESS
    assert await inside.post("abort", reference) == SUCCESS
    assert (await inside.status("g"), participants.calls) == ("failed", [])
    participants.answer("TransOut", ONGOING)
    await inside.submit(msg2(participants, "h"))
    message = "trans type: 'msg' current status 'submitted', cannot abort. FAILURE"
    refusal = {"dtm_result": "FAILURE", "message": message, "status": "submitted"}
    assert await inside.post("abort", reference | {"gid": "h"}) == (409, refusal)
    assert await inside.status("h") == "submitted"


async def test_v71_the_stored_type_is_what_counts(inside: Inside, participants: Participants) -> None:
    for gid, trans_type in (("g", "tcc"), ("h", ""), ("i", None)):
        assert await inside.post("prepare", msg2(participants, gid)) == SUCCESS
        assert await inside.post("abort", {"gid": gid, "trans_type": trans_type}) == SUCCESS
        assert await inside.status(gid) == "failed"


async def test_submitted_without_prepare_and_question(inside: Inside, participants: Participants) -> None:
    assert await inside.submit(msg2(participants, "g", query_prepared="")) == SUCCESS
    assert participants.of("g") == BOTH


async def test_v73_one_subscriber(inside: Inside, participants: Participants) -> None:
    await inside.get("subscribe", topic="t", url=participants.url("TransOut"))
    assert await inside.submit(msg(participants, "g", "topic://t", "TransIn")) == SUCCESS
    assert participants.of("g") == BOTH
