"""Where this server differs, points 1, 2 and 7: bad input is 400, names the place, and leaves no trace."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.support.inside import Inside
from tests.support.participants import Participants
from tests.vectors.bodies import P, msg2, saga2, tcc, tcc_branch

URL = "http://127.0.0.1:1/x"
STEP = {"action": URL, "compensate": URL}


def a_saga(**more: Any) -> dict[str, Any]:
    return {"gid": "g", "trans_type": "saga", "steps": [STEP] * 2, "payloads": ["1", "2"], **more}


def a_msg(**more: Any) -> dict[str, Any]:
    return {"gid": "g", "trans_type": "msg", "steps": [STEP], "payloads": ["1"], "query_prepared": URL, **more}


def step(**more: Any) -> dict[str, Any]:
    return {"steps": [STEP, STEP | more]}


def custom(value: Any) -> dict[str, Any]:
    return {"custom_data": json.dumps(value)}


BAD_URLS = [
    "nonsense",
    "/relative",
    "//h/x",
    "ftp://h/x",
    "nacos://service/x",
    "http://",
    "http:///x",
    "http://user@h/x",
    "http://u:p@h/x",
    "http://h/a b",
    "http://h/a\tb",
    "http://h/\x7f",
    "http://h:99999/",
    "topic://t",
    "http://h/" + "x" * 2048,
]
REFUSED = [
    ({"gid": ""}, "/gid"),
    ({"gid": None}, "/gid"),
    ({"gid": 7}, "/gid"),
    ({"gid": "x" * 129}, "/gid"),
    ({"gid": "a\nb"}, "/gid"),
    ({"gid": "a\x00b"}, "/gid"),
    ({"gid": "a\x7fb"}, "/gid"),
    ({"trans_type": ""}, "/trans_type"),
    ({"trans_type": "Saga"}, "/trans_type"),
    ({"trans_type": "nope"}, "/trans_type"),
    ({"trans_type": 1}, "/trans_type"),
    ({"steps": {}}, "/steps"),
    ({"steps": ["x"]}, "/steps/0"),
    (step(action=7), "/steps/1/action"),
    *[(step(action=url), "/steps/1/action") for url in BAD_URLS],
    (step(compensate="nonsense"), "/steps/1/compensate"),
    ({"payloads": ["1"]}, "/payloads"),
    ({"payloads": None}, "/payloads"),
    ({"payloads": ["1", {"amount": 30}]}, "/payloads/1"),
    ({"protocol": "json-rpc"}, "/protocol"),
    ({"protocol": "grpc"}, "/protocol"),
    ({"wait_result": "yes"}, "/wait_result"),
    ({"wait_result": 1}, "/wait_result"),
    ({"concurrent": "true"}, "/concurrent"),
    ({"timeout_to_fail": -1}, "/timeout_to_fail"),
    ({"timeout_to_fail": 1.5}, "/timeout_to_fail"),
    ({"timeout_to_fail": "10"}, "/timeout_to_fail"),
    ({"request_timeout": -1}, "/request_timeout"),
    ({"retry_interval": -1}, "/retry_interval"),
    ({"retry_limit": -1}, "/retry_limit"),
    ({"branch_headers": ["x"]}, "/branch_headers"),
    ({"branch_headers": {"a b": "c"}}, "/branch_headers"),
    ({"branch_headers": {"a": "b\r\nEvil: 1"}}, "/branch_headers/a"),
    ({"branch_headers": {"a": 1}}, "/branch_headers/a"),
    ({"branch_headers": {"Content-Length": "1"}}, "/branch_headers/Content-Length"),
    ({"custom_data": "no json"}, "/custom_data"),
    ({"custom_data": "[]"}, "/custom_data"),
    ({"custom_data": {}}, "/custom_data"),
    (custom({"concurrent": "yes"}), "/custom_data"),
    (custom({"orders": [1]}), "/custom_data"),
    (custom({"orders": {"2": [0]}}), "/custom_data"),
    (custom({"orders": {"0": [2]}}), "/custom_data"),
    (custom({"orders": {"0": [-1]}}), "/custom_data"),
    (custom({"orders": {"x": [0]}}), "/custom_data"),
    (custom({"orders": {"0": ["1"]}}), "/custom_data"),
    (custom({"concurrent": True, "orders": {"0": [0]}}), "/custom_data"),
    (custom({"concurrent": True, "orders": {"0": [1], "1": [0]}}), "/custom_data"),
    (custom({"orders": {"0": [1]}}), "/custom_data"),
]


async def refused(inside: Inside, verb: str, body: Any, pointer: str) -> None:
    status, reply = await inside.post(verb, body)
    assert status == 400, reply
    assert set(reply) == {"message", "errors"}
    assert reply["message"]
    for error in reply["errors"]:
        assert set(error) == {"pointer", "message"}
        assert error["message"]
    assert reply["errors"][0]["pointer"].startswith(pointer)
    assert (await inside.get("all"))[1] == {"next_position": "", "transactions": []}


@pytest.mark.parametrize(("more", "pointer"), REFUSED)
async def test_a_saga_that_is_refused(inside: Inside, more: dict[str, Any], pointer: str) -> None:
    await refused(inside, "submit", a_saga(**more), pointer)


@pytest.mark.parametrize("verb", ["submit", "prepare"])
@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        *[({"query_prepared": url}, "/query_prepared") for url in BAD_URLS],
        ({"steps": [{"action": "nonsense"}]}, "/steps/0/action"),
        ({"payloads": []}, "/payloads"),
        ({"query_prepared": 1}, "/query_prepared"),
        (custom({"delay": -1}), "/custom_data"),
        (custom({"delay": 1.5}), "/custom_data"),
        (custom({"delay": "1"}), "/custom_data"),
        (custom({"delay": True}), "/custom_data"),
    ],
)
async def test_a_message_that_is_refused(inside: Inside, verb: str, more: dict[str, Any], pointer: str) -> None:
    await refused(inside, verb, a_msg(**more), pointer)


@pytest.mark.parametrize("verb", ["prepare", "submit", "abort", "forceStop", "resetNextCronTime", "registerBranch"])
@pytest.mark.parametrize("body", [b"", b"hello", b"[]", b"null", b'"x"', b"{}", b'{"gid":"g"', b'{"gid":""}'])
async def test_a_body_that_is_no_request(inside: Inside, verb: str, body: bytes) -> None:
    await refused(inside, verb, body, "")


async def test_a_body_that_is_too_long(inside: Inside) -> None:
    await refused_quietly(inside, a_saga(payloads=["x" * (5 << 20), ""]))
    await refused_quietly(inside, a_saga(payloads=["x"] * 10_001))


async def refused_quietly(inside: Inside, body: Any) -> None:
    status, reply = await inside.post("submit", body)
    assert status in (400, 413)
    assert reply["message"]
    assert await inside.status("g") is None


@pytest.mark.parametrize(
    ("method", "verb"), [("GET", "submit"), ("DELETE", "abort"), ("POST", "query"), ("PUT", "all")]
)
async def test_a_wrong_method(inside: Inside, method: str, verb: str) -> None:
    status, reply = await asyncio.to_thread(inside.client.request, method, f"/api/dtmsvr/{verb}")
    assert status in (404, 405)
    assert set(reply) == {"message"}


@pytest.mark.parametrize("query_prepared", [{}, {"query_prepared": ""}, {"query_prepared": None}])
async def test_nobody_could_ever_be_asked(inside: Inside, participants: Participants, query_prepared: dict) -> None:
    body = msg2(participants, "g")
    del body["query_prepared"]
    await refused(inside, "prepare", body | query_prepared, "/query_prepared")


async def test_a_saga_cannot_be_prepared(inside: Inside, participants: Participants) -> None:
    await refused(inside, "prepare", saga2(participants, "g"), "/trans_type")


async def test_a_disabled_protocol(inside_with, participants: Participants) -> None:
    inside = await inside_with(protocols={"xa": False, "saga": False})
    await refused(inside, "submit", saga2(participants, "g"), "/trans_type")
    await refused(inside, "prepare", {"gid": "g", "trans_type": "xa"}, "/trans_type")
    assert (await inside.post("prepare", tcc("g")))[0] == 200
    body = tcc_branch(participants, "g", "01", "TransOut") | {"trans_type": "xa", "url": URL}
    assert (await inside.post("registerBranch", body))[0] == 400


@pytest.mark.parametrize(
    "more",
    [
        {"branch_headers": []},
        {"custom_data": ""},
        {"custom_data": "null"},
        {"custom_data": '{"orders":null,"concurrent":null,"other":1}'},
        {"protocol": ""},
        {"protocol": None},
        {"payloads": [P, P, P]},
        {"status": 7, "id": "x", "owner": [], "options": {}, "ext_data": {}, "next_cron_time": False, "version": -1},
    ],
)
async def test_what_is_taken_all_the_same(inside: Inside, participants: Participants, more: dict[str, Any]) -> None:
    assert (await inside.submit(saga2(participants, "g") | more))[0] == 200
    assert await inside.status("g") == "succeed"
    assert len(participants.of("g")) == 2


@pytest.mark.parametrize("gid", ["x" * 128, "日" * 128, " ", "a;b", "'\"", "%41", "a&b=c", "😀", "../query?x=y#z"])
async def test_gids_that_are_taken_as_they_are(inside: Inside, participants: Participants, gid: str) -> None:
    assert (await inside.submit(saga2(participants, gid)))[0] == 200
    assert (await inside.transaction(gid))["gid"] == gid
    assert participants.of(gid) == ["action 01 POST TransOut", "action 02 POST TransIn"]
