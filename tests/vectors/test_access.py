"""Where this server differs, point 12: who may change what, and the historical GET forms."""

from __future__ import annotations

import asyncio
from typing import Any

from dtm.core.config import Compat, Token
from tests.support.client import Client
from tests.support.inside import Inside
from tests.support.participants import ONGOING, Participants
from tests.vectors.bodies import SUCCESS, prepared_tcc, saga2, tcc

TOKENS = (Token(token="for-clients"), Token(token="for-operators", role="operator"))


def bearing(inside: Inside, token: str) -> Client:
    return Client(f"http://{inside.client.address}", headers={"Authorization": f"Bearer {token}"})


def changes(client: Client) -> list[tuple[int, Any]]:
    """Every management call that changes something, in each of its forms."""
    topic = {"topic": "t", "url": "http://h/1"}
    return [
        client.get("subscribe", **topic),
        client.get("unsubscribe", **topic),
        client.post("subscribe", **topic),
        client.post("unsubscribe", **topic),
        client.request("DELETE", "/api/dtmsvr/topic/t"),
        client.get("resetCronTime"),
        client.post("resetCronTime"),
        client.post("resetNextCronTime", {"gid": "g"}),
        client.post("forceStop", {"gid": "g"}),
    ]


async def test_changes_need_the_operator(inside_with, participants: Participants) -> None:
    inside = await inside_with(auth=TOKENS)
    participants.default = ONGOING
    client, operator = bearing(inside, "for-clients"), bearing(inside, "for-operators")
    assert await asyncio.to_thread(client.post, "submit", saga2(participants, "g")) == SUCCESS
    assert [status for status, _ in await asyncio.to_thread(changes, inside.client)] == [401] * 9
    assert [status for status, _ in await asyncio.to_thread(changes, client)] == [403] * 9
    assert await asyncio.to_thread(client.status, "g") == "submitted"
    assert await asyncio.to_thread(client.get, "scanKV", cat="topics") == (200, {"kv": [], "next_position": ""})
    assert [status for status, _ in await asyncio.to_thread(changes, operator)] == [200] * 9
    assert await asyncio.to_thread(client.status, "g") == "failed"


async def test_what_a_client_may_do(inside_with, participants: Participants) -> None:
    inside = await inside_with(auth=TOKENS)

    def calls(client: Client) -> list[int]:
        return [
            client.get("newGid")[0],
            client.post("prepare", tcc("g"))[0],
            client.post("registerBranch", {"gid": "g", "trans_type": "tcc", "branch_id": "01"})[0],
            client.post("abort", tcc("g"))[0],
            client.post("submit", tcc("h"))[0],
            client.get("query", gid="g")[0],
            client.get("all")[0],
            client.get("version")[0],
        ]

    assert await asyncio.to_thread(calls, inside.client) == [401] * 8
    assert await asyncio.to_thread(calls, bearing(inside, "wrong")) == [401] * 8
    assert await asyncio.to_thread(calls, bearing(inside, "for-clients")) == [200] * 8
    ping = await asyncio.to_thread(inside.client.request, "GET", "/api/ping")
    assert ping == (200, {"msg": "pong"})


async def test_without_tokens_everybody_may(inside: Inside, participants: Participants) -> None:
    await prepared_tcc(inside, participants, "g")
    assert [status for status, _ in await asyncio.to_thread(changes, inside.client)] == [200] * 9


async def test_the_historical_gets_can_be_switched_off(inside_with, participants: Participants) -> None:
    inside = await inside_with(compat=Compat(get_writes=False))
    await prepared_tcc(inside, participants, "g")
    said = [status for status, _ in await asyncio.to_thread(changes, inside.client)]
    assert said == [405, 405, 200, 200, 200, 405, 200, 200, 200]
