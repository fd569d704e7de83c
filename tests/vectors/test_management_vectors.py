"""The contract's vectors of the management API (V100 to V109), over real HTTP on SQLite."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime
from typing import Any

import pytest

from tests.support.inside import Inside
from tests.support.participants import ONGOING, Participants
from tests.vectors.bodies import SUCCESS, msg2, saga2, tcc
from tests.vectors.conftest import Holding


def ms(when: str) -> float:
    """A time of the wire as UTC milliseconds."""
    return datetime.fromisoformat(when).timestamp() * 1000


async def said(inside: Inside, verb: str, **query: Any) -> Any:
    """The body of a GET that goes well."""
    status, body = await inside.get(verb, **query)
    assert status == 200, body
    return body


async def test_v100_version(inside: Inside) -> None:
    reply = await said(inside, "version")
    assert set(reply) == {"version"}
    assert reply["version"].startswith("v")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_v100_ping(inside: Inside, method: str) -> None:
    assert await asyncio.to_thread(inside.client.request, method, "/api/ping") == (200, {"msg": "pong"})


async def test_v101_query(inside: Inside, participants: Participants) -> None:
    await inside.submit(msg2(participants, "g"))
    reply = await said(inside, "query", gid="g")
    assert reply["transaction"]["gid"] == "g"
    assert len(reply["branches"]) == 2
    for query in ({}, {"gid": ""}):
        status, reply = await inside.get("query", **query)
        assert (status, set(reply)) == (400, {"message", "errors"})
        assert "no gid specified" in reply["message"]
    assert await said(inside, "query", gid="1") == {"branches": [], "transaction": None}


async def test_v102_all(inside: Inside, participants: Participants) -> None:
    begin = int(time.time() * 1000)
    for gid in ("g1", "g2", "g3"):
        await inside.submit(msg2(participants, gid))
    await inside.post("prepare", tcc("other"))
    end = int(time.time() * 1000) + 1

    first = await said(inside, "all", limit=1)
    assert [t["gid"] for t in first["transactions"]] == ["other"]
    second = await said(inside, "all", limit=1, position=first["next_position"])
    assert [t["gid"] for t in second["transactions"]] == ["g3"]
    assert second["next_position"] not in ("", first["next_position"])
    rest = await said(inside, "all", limit=1000, position=second["next_position"])
    assert [t["gid"] for t in rest["transactions"]] == ["g2", "g1"]
    assert rest["next_position"] == ""

    wanted = {"status": "succeed", "transType": "msg", "createTimeStart": begin, "createTimeEnd": end}
    found = await said(inside, "all", **wanted)
    assert [t["gid"] for t in found["transactions"]] == ["g3", "g2", "g1"]
    for transaction in found["transactions"]:
        assert (transaction["status"], transaction["trans_type"]) == ("succeed", "msg")
        assert begin <= ms(transaction["create_time"]) <= end
    past = {"createTimeStart": begin - 600_000, "createTimeEnd": begin - 300_000}
    assert await said(inside, "all", **past) == {"next_position": "", "transactions": []}
    assert (await said(inside, "all", status="prepared"))["transactions"][0]["gid"] == "other"
    assert (await said(inside, "all", transType="xa"))["transactions"] == []


async def test_v102_one_gid(inside: Inside) -> None:
    await inside.post("prepare", tcc("g"))
    found = await said(inside, "all", gid="g", status="failed", transType="saga")
    assert [t["gid"] for t in found["transactions"]] == ["g"]
    assert await said(inside, "all", gid="unknown") == {"next_position": "", "transactions": None}


async def test_v102_bad_numbers_and_positions(inside: Inside) -> None:
    for query in ({"limit": "ten"}, {"createTimeStart": "now"}, {"createTimeEnd": "1.5"}):
        status, reply = await inside.get("all", **query)
        assert status == 400
        assert f"convert to int error: {next(iter(query.values()))}" in reply["message"]
    for verb in ("all", "scanKV"):
        assert (await inside.get(verb, position="17"))[0] == 400


async def test_v103_kv(inside: Inside) -> None:
    for number in range(3):
        query = {"topic": f"test_topic{number}", "url": f"http://h/{number}", "remark": "who"}
        assert await inside.get("subscribe", **query) == SUCCESS
    first = await said(inside, "scanKV", cat="topics", limit=1)
    second = await said(inside, "scanKV", cat="topics", limit=1, position=first["next_position"])
    assert second["next_position"] not in ("", first["next_position"])
    rest = await said(inside, "scanKV", cat="topics", limit=1000, position=second["next_position"])
    assert rest["next_position"] == ""
    keys = [kv["k"] for page in (first, second, rest) for kv in page["kv"]]
    assert keys == ["test_topic0", "test_topic1", "test_topic2"]
    assert await said(inside, "scanKV", cat="nothing") == {"kv": [], "next_position": ""}

    (kv,) = (await said(inside, "queryKV", cat="topics", key="test_topic1"))["kv"]
    assert set(kv) == {"id", "create_time", "update_time", "cat", "k", "v", "version"}
    assert (kv["cat"], kv["k"], kv["version"]) == ("topics", "test_topic1", 1)
    assert json.loads(kv["v"]) == [{"url": "http://h/1", "remark": "who"}]
    assert await said(inside, "queryKV", cat="topics", key="unknown") == {"kv": []}


async def test_reset_cron_time(inside: Inside, participants: Participants) -> None:
    """All that are due later than a while from now, so many at a time."""
    participants.answer("TransOut", *[ONGOING] * 3)
    for gid in ("g1", "g2", "g3"):
        await inside.submit(saga2(participants, gid, retry_interval=1000))
    assert await said(inside, "resetCronTime", timeout=2000) == {"has_remaining": False, "succeed_count": 0}
    assert await said(inside, "resetCronTime", limit=2) == {"has_remaining": True, "succeed_count": 2}
    assert await inside.tick(sel=1) == 2
    assert await said(inside, "resetCronTime", timeout=100, limit=2) == {"has_remaining": False, "succeed_count": 1}
    assert await inside.tick(sel=1) == 1
    assert {await inside.status(gid) for gid in ("g1", "g2", "g3")} == {"succeed"}
    assert await said(inside, "resetCronTime", timeout=0) == {"has_remaining": False, "succeed_count": 0}
    assert (await inside.get("resetCronTime", timeout="soon"))[0] == 400


async def test_v105_force_stop(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", ONGOING)
    await inside.submit(saga2(participants, "g"))
    assert await inside.post("forceStop", {"gid": "g"}) == SUCCESS
    transaction = await inside.transaction("g")
    assert (transaction["status"], transaction["rollback_reason"]) == ("failed", "force stopped")
    assert transaction["rollback_time"]
    assert await inside.tick(sel=10_000, now=10_000) == 0
    assert len(participants.calls) == 1
    message = "global transaction force stop error. status: failed. error: FAILURE"
    refusal = {"dtm_result": "FAILURE", "message": message, "status": "failed"}
    assert await inside.post("forceStop", {"gid": "g"}) == (409, refusal)


async def test_v105_force_stop_of_a_finished_one(inside: Inside, participants: Participants) -> None:
    await inside.submit(saga2(participants, "g"))
    status, reply = await inside.post("forceStop", {"gid": "g"})
    assert (status, reply["dtm_result"], reply["status"]) == (409, "FAILURE", "succeed")
    assert await inside.status("g") == "succeed"


async def test_v105_force_stop_while_a_call_is_in_flight(inside: Inside, holding: Holding) -> None:
    assert await inside.post("submit", saga2(holding, "g", request_timeout=30)) == SUCCESS
    await holding.called()
    assert await inside.post("forceStop", {"gid": "g"}) == SUCCESS
    holding.release()
    await inside.idle()
    assert holding.of("g") == ["action 01 POST TransOut"]
    transaction = await inside.transaction("g")
    assert (transaction["status"], transaction["rollback_reason"]) == ("failed", "force stopped")


async def test_v106_reset_next_cron_time(inside: Inside, participants: Participants) -> None:
    await inside.submit(saga2(participants, "g"))
    before = await inside.transaction("g")
    assert await inside.post("resetNextCronTime", {"gid": "g"}) == SUCCESS
    after = await inside.transaction("g")
    assert after["next_cron_time"] != before["next_cron_time"]
    assert abs(ms(after["next_cron_time"]) - time.time() * 1000) < 3000
    assert after["status"] == "succeed"
    assert await inside.tick() == 0


async def test_v106_of_an_unfinished_one(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", ONGOING)
    await inside.submit(saga2(participants, "g", retry_interval=1000))
    assert await inside.tick(sel=1) == 0
    assert await inside.post("resetNextCronTime", {"gid": "g"}) == SUCCESS
    assert await inside.tick(sel=1) == 1
    assert await inside.status("g") == "succeed"


async def test_v107_topics(inside: Inside) -> None:
    async def refused(verb: str, status: int, message: str, **query: str) -> None:
        said, reply = await inside.get(verb, **query)
        assert said == status
        assert message in reply["message"]
        assert "dtm_result" not in reply

    one, two = {"topic": "t", "url": "http://h/1"}, {"topic": "t", "url": "http://h/2"}
    assert await inside.get("subscribe", **one) == SUCCESS
    await refused("subscribe", 400, "this url exists", **one)
    await refused("subscribe", 400, "empty topic", **one | {"topic": ""})
    await refused("subscribe", 400, "empty url", **one | {"url": ""})
    assert await inside.get("subscribe", **two) == SUCCESS
    assert await inside.get("unsubscribe", **one) == SUCCESS
    await refused("unsubscribe", 400, "no such an url", **one)
    await refused("unsubscribe", 400, "empty topic", **two | {"topic": ""})
    await refused("unsubscribe", 400, "empty url", **two | {"url": ""})
    await refused("unsubscribe", 404, "no such a topic", **two | {"topic": "unknown"})
    assert await inside.get("unsubscribe", **two) == SUCCESS
    await refused("unsubscribe", 400, "this topic is empty", **two)
    (kv,) = (await said(inside, "queryKV", cat="topics", key="t"))["kv"]
    assert (kv["v"], kv["version"]) == ("[]", 4)


@pytest.mark.parametrize(
    "url", ["h/1", "ftp://h/1", "http://", "http://u:p@h/", "http://h/a b", "topic://t", "x" * 3000]
)
async def test_v107_unusable_urls(inside: Inside, url: str) -> None:
    assert (await inside.post("subscribe", topic="t", url=url))[0] == 400
    assert await said(inside, "scanKV", cat="topics") == {"kv": [], "next_position": ""}


async def test_v107_delete_a_topic(inside: Inside, participants: Participants) -> None:
    await inside.post("subscribe", topic="a/b ü", url=participants.url("TransOut"))
    path = "/api/dtmsvr/topic/a%2Fb%20%C3%BC"
    assert await asyncio.to_thread(inside.client.request, "DELETE", path) == SUCCESS
    status, reply = await asyncio.to_thread(inside.client.request, "DELETE", path)
    assert (status, reply) == (404, {"message": "no such a topic"})
    assert await said(inside, "queryKV", cat="topics", key="a/b ü") == {"kv": []}


async def test_v109_new_gid(inside: Inside) -> None:
    replies = [await said(inside, "newGid") for _ in range(20)]
    assert {reply["dtm_result"] for reply in replies} == {"SUCCESS"}
    gids = {reply["gid"] for reply in replies}
    assert len(gids) == 20
    for gid in gids:
        assert len(gid) == 22
        assert gid.isalnum()
        assert gid.isascii()
