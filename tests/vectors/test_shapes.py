"""The shape of what is shown (contract 0, 1.7, 1.8; "Where this server differs", point 13)."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from tests.support.inside import Inside
from tests.support.participants import ERROR, ONGOING, Participants, failure
from tests.vectors.bodies import P, msg2, prepared_tcc, prepared_xa, saga, saga2, tcc, tcc_branch

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
ALWAYS = {"id", "create_time", "update_time", "gid", "trans_type", "status", "protocol", "concurrent", "options"}
WAITING = {"next_cron_interval", "next_cron_time"}
BRANCH = {"id", "create_time", "update_time", "gid", "branch_id", "op", "status"}
STORY = {"attempts", "attempt_count", "start_time", "start_count"}


def every_value(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in every_value(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in every_value(item)]
    return [value]


async def query(inside: Inside, gid: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Transaction and branches, with all that is true of every reply."""
    status, reply = await inside.get("query", gid=gid)
    assert status == 200
    assert list(reply) == ["branches", "transaction"]
    assert None not in every_value(reply)
    for shown in (reply["transaction"], *reply["branches"]):
        assert shown["id"] == 0
        assert shown["gid"] == gid
        for key, value in shown.items():
            if key.endswith("_time"):
                assert RFC3339.fullmatch(value), (key, value)
    return reply["transaction"], reply["branches"]


async def test_a_prepared_one(inside: Inside, participants: Participants) -> None:
    await inside.post("prepare", tcc("g"))
    transaction, branches = await query(inside, "g")
    assert set(transaction) == ALWAYS | WAITING
    assert branches == []
    assert transaction["options"] == '{"concurrent":false}'
    assert transaction["concurrent"] is False
    assert transaction["protocol"] == "http"
    assert transaction["next_cron_interval"] == 10


async def test_a_submitted_one(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", ONGOING)
    custom_data = '{ "concurrent" : false }'
    await inside.submit(saga2(participants, "g", custom_data=custom_data, retry_limit=2))
    transaction, branches = await query(inside, "g")
    assert set(transaction) == ALWAYS | WAITING | {"custom_data"}
    assert transaction["custom_data"] == custom_data
    assert [(b["branch_id"], b["op"]) for b in branches] == [
        ("01", "compensate"),
        ("01", "action"),
        ("02", "compensate"),
        ("02", "action"),
    ]
    for branch in branches:
        assert set(branch) - STORY == BRANCH | {"url", "bin_data"}
        assert base64.b64decode(branch["bin_data"], validate=True) == P.encode()
    assert branches[1]["attempt_count"] == 1


async def test_a_finished_one(inside: Inside, participants: Participants) -> None:
    await inside.submit(msg2(participants, "g"))
    transaction, branches = await query(inside, "g")
    assert set(transaction) - WAITING == ALWAYS | {"query_prepared", "finish_time"}
    assert transaction["query_prepared"] == participants.url("QueryPrepared")
    assert [b["branch_id"] for b in branches] == ["01", "02"]
    for branch in branches:
        assert set(branch) - STORY == BRANCH | {"url", "bin_data", "finish_time"}


async def test_a_failed_one(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", failure("no"))
    await inside.submit(saga(participants, "g", "TransOut"))
    transaction, (compensate, action) = await query(inside, "g")
    assert set(transaction) - WAITING == ALWAYS | {"rollback_time", "rollback_reason"}
    assert set(compensate) - STORY == BRANCH | {"url", "bin_data", "finish_time"}
    assert set(action) - STORY == BRANCH | {"url", "bin_data", "rollback_time"}


async def test_nothing_is_shown_of_what_is_empty(inside: Inside, participants: Participants) -> None:
    await prepared_xa(inside, participants, "g", "U1")
    for branch in (await query(inside, "g"))[1]:
        assert set(branch) - STORY == BRANCH | {"url"}
    await prepared_tcc(inside, participants, "h")
    await inside.post("registerBranch", {"gid": "h", "trans_type": "tcc", "branch_id": "01"})
    for branch in (await query(inside, "h"))[1]:
        assert set(branch) - STORY == BRANCH


async def test_bin_data_is_standard_base64_with_padding(inside: Inside, participants: Participants) -> None:
    payloads = ["a", "?>?>?>~~~", "日本", "\x00\x7f", " "]
    body = saga(participants, "g", *["TransOut"] * len(payloads)) | {"payloads": payloads}
    await inside.submit(body)
    branches = (await query(inside, "g"))[1]
    expected = [base64.b64encode(text.encode()).decode() for text in payloads for _ in "ca"]
    assert [b["bin_data"] for b in branches] == expected
    assert [call.body for call in participants.seen("g")] == payloads


async def test_options_leave_out_what_is_zero(inside: Inside, participants: Participants) -> None:
    options = {
        "wait_result": True,
        "timeout_to_fail": 100,
        "request_timeout": 8,
        "retry_interval": 15,
        "branch_headers": {"a": "b"},
        "concurrent": True,
        "retry_limit": 3,
        "retry_count": 2,
    }
    await inside.post("submit", saga2(participants, "g", **options))
    transaction, _ = await query(inside, "g")
    assert json.loads(transaction["options"]) == options
    assert transaction["concurrent"] is True
    zero = {"wait_result": False, "timeout_to_fail": 0, "branch_headers": {}, "concurrent": False, "retry_limit": 0}
    await inside.post("submit", saga2(participants, "h", **zero))
    assert (await query(inside, "h"))[0]["options"] == '{"concurrent":false}'


async def test_lists_show_the_same(inside: Inside, participants: Participants) -> None:
    await inside.submit(saga2(participants, "g"))
    await prepared_tcc(inside, participants, "h", "TransOut")
    page = (await inside.get("all"))[1]
    assert set(page) == {"next_position", "transactions"}
    assert page["transactions"] == [(await query(inside, gid))[0] for gid in ("h", "g")]


async def test_branches_stand_in_order_of_registration(inside: Inside, participants: Participants) -> None:
    await inside.post("prepare", tcc("g"))
    for branch_id in ("02", "10", "0201", "01"):
        await inside.post("registerBranch", tcc_branch(participants, "g", branch_id, "TransOut"))
    branches = (await query(inside, "g"))[1]
    assert [b["branch_id"] for b in branches] == ["02", "02", "10", "10", "0201", "0201", "01", "01"]
    assert [b["op"] for b in branches] == ["cancel", "confirm"] * 4


async def test_pages_hold_everything_once(inside: Inside) -> None:
    gids = [f"g{number}" for number in range(7)]
    for gid in gids:
        await inside.post("prepare", tcc(gid))
    for limit in (1, 2, 3, 7, 100):
        found, position = [], ""
        while True:
            page = (await inside.get("all", limit=limit, position=position))[1]
            assert len(page["transactions"]) <= limit
            found += [t["gid"] for t in page["transactions"]]
            position = page["next_position"]
            if not position:
                break
        assert found == gids[::-1]


async def test_a_dead_participant_is_told(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", ERROR)
    await inside.submit(saga(participants, "g", "TransOut"))
    action = (await query(inside, "g"))[1][1]
    assert action["attempts"][0]["error"] == '500 {"error":"ERROR from user"}'
    assert RFC3339.fullmatch(action["attempts"][0]["time"])
