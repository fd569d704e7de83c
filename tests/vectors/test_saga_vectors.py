"""The contract's vectors of saga (V01 to V24), over real HTTP on SQLite."""

from __future__ import annotations

import json

from tests.support.inside import Inside
from tests.support.participants import Participants

P = '{"amount":30,"trans_in_result":"","trans_out_Result":"","store":""}'


def saga2(participants: Participants, gid: str, **more: object) -> dict:
    steps = [
        {"action": participants.url("TransOut"), "compensate": participants.url("TransOutRevert")},
        {"action": participants.url("TransIn"), "compensate": participants.url("TransInRevert")},
    ]
    return {"gid": gid, "trans_type": "saga", "steps": steps, "payloads": [P, P], **more}


async def test_v01_normal(inside: Inside, participants: Participants) -> None:
    assert await inside.submit(saga2(participants, "g")) == (200, {"dtm_result": "SUCCESS"})
    assert participants.of("g") == ["action 01 POST TransOut", "action 02 POST TransIn"]
    assert {call.body for call in participants.seen("g")} == {P}
    assert await inside.branches("g") == "psps"
    transaction = await inside.transaction("g")
    assert transaction["status"] == "succeed"
    assert "rollback_reason" not in transaction
    assert transaction["finish_time"]
    assert json.loads(transaction["options"]) == {"concurrent": False}
