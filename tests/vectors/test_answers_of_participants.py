"""Where this server differs, points 3 and 11: how a participant's reply is read, and what it is told."""

from __future__ import annotations

import pytest

from dtm.core.config import Compat
from tests.support.inside import Inside
from tests.support.participants import Participants
from tests.vectors.bodies import saga

REPLIES = [
    (425, "", "ONGOING"),
    (425, '{"dtm_result":"SUCCESS"}', "ONGOING"),
    (202, "", "ONGOING"),
    (202, '{"dtm_result":"FAILURE"}', "ONGOING"),
    (409, "", "FAILURE"),
    (409, '{"dtm_result":"SUCCESS"}', "FAILURE"),
    (409, "ONGOING", "FAILURE"),
    (200, "", "SUCCESS"),
    (200, "null", "SUCCESS"),
    (200, "no json", "SUCCESS"),
    (200, '{"dtm_result":"SUCCESS"}', "SUCCESS"),
    (200, '{"dtm_result":"ONGOING"}', "ONGOING"),
    (200, '{"dtm_result":"FAILURE","message":"poor"}', "FAILURE"),
    (200, '{"dtm_result":"MAYBE"}', "ERROR"),
    (200, '{"dtm_result":1}', "ERROR"),
    (200, "FAILURE", "FAILURE"),
    (200, "ONGOING", "ONGOING"),
    (200, " FAILURE\n", "FAILURE"),
    (201, "", "SUCCESS"),
    (201, '{"dtm_result":"FAILURE"}', "FAILURE"),
    (203, "", "SUCCESS"),
    (200, '{"note":"FAILURE of the delivery van"}', "SUCCESS"),
    (200, '{"note":"ONGOING"}', "SUCCESS"),
    (200, "power FAILURE at noon", "SUCCESS"),
    (200, '[{"dtm_result":"FAILURE"}]', "SUCCESS"),
    (200, '{"data":{"dtm_result":"FAILURE"}}', "SUCCESS"),
    (500, "", "ERROR"),
    (500, '{"dtm_result":"SUCCESS"}', "ERROR"),
    (500, '{"dtm_result":"FAILURE"}', "ERROR"),
    (503, "FAILURE", "ERROR"),
    (400, '{"dtm_result":"ONGOING"}', "ERROR"),
    (404, "", "ERROR"),
    (301, "", "ERROR"),
    (302, "", "ERROR"),
    (200, "x" * (1 << 21), "ERROR"),
]
WORDS = [
    (200, '{"note":"FAILURE of the delivery van"}', "FAILURE"),
    (200, "ONGOING, no FAILURE", "ONGOING"),
    (500, '{"error":"FAILURE"}', "FAILURE"),
    (500, '{"error":"ONGOING"}', "ONGOING"),
    (200, "failure", "SUCCESS"),
    (500, "", "ERROR"),
]
STATUS_AFTER = {"SUCCESS": "succeed", "FAILURE": "failed", "ONGOING": "submitted", "ERROR": "submitted"}


async def check(inside: Inside, participants: Participants, status: int, body: str, outcome: str) -> None:
    participants.answer("TransOut", (status, body))
    await inside.submit(saga(participants, "g", "TransOut"))
    assert await inside.status("g") == STATUS_AFTER[outcome]
    _, action = (await inside.get("query", gid="g"))[1]["branches"]
    assert [attempt["outcome"] for attempt in action["attempts"]] == [outcome]


@pytest.mark.parametrize(("status", "body", "outcome"), REPLIES, ids=lambda value: str(value)[:40])
async def test_how_a_reply_is_read(
    inside: Inside, participants: Participants, status: int, body: str, outcome: str
) -> None:
    await check(inside, participants, status, body, outcome)


@pytest.mark.parametrize(("status", "body", "outcome"), WORDS)
async def test_words_are_searched_when_switched_on(
    inside_with, participants: Participants, status: int, body: str, outcome: str
) -> None:
    await check(await inside_with(compat=Compat(reply_words=True)), participants, status, body, outcome)


async def test_nobody_there(inside: Inside, participants: Participants) -> None:
    step = {"action": "http://127.0.0.1:1/x", "compensate": ""}
    await inside.submit({"gid": "g", "trans_type": "saga", "steps": [step], "payloads": [""]})
    _, action = (await inside.get("query", gid="g"))[1]["branches"]
    assert [attempt["outcome"] for attempt in action["attempts"]] == ["ERROR"]
    assert await inside.status("g") == "submitted"


async def test_branch_type_can_be_switched_off(inside_with, participants: Participants) -> None:
    inside = await inside_with(compat=Compat(branch_type=False))
    await inside.submit(saga(participants, "g", "TransOut"))
    (call,) = participants.seen("g")
    assert call.query == {"gid": "g", "trans_type": "saga", "branch_id": "01", "op": "action"}
