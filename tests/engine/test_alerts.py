"""The alert hook of the contract, 3.7: a real webhook hears of a branch that keeps failing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.support.inside import Inside
from tests.support.participants import ERROR, ONGOING, Participants


async def _until(participants: Participants, path: str, count: int) -> list[dict]:
    for _ in range(200):
        told = [json.loads(call.body) for call in participants.calls if call.path == path]
        if len(told) >= count:
            return told
        await asyncio.sleep(0.02)
    raise AssertionError(f"only {len(told)} alerts")


async def test_the_webhook_hears_from_the_third_failure_on(tmp_path: Path, participants: Participants) -> None:
    inside = Inside(tmp_path, alert_webhook=participants.url("alert"), alert_retry_limit=3)
    await inside.start()
    participants.answer("Flaky", ERROR, ONGOING, ERROR, ERROR, ERROR)
    step = {"action": participants.url("Flaky"), "compensate": ""}
    await inside.submit({"gid": "g", "trans_type": "saga", "steps": [step], "payloads": ["1"]})
    for _ in range(5):
        await inside.tick(sel=1000)
    told = await _until(participants, "alert", 2)
    assert await inside.status("g") == "succeed"
    await inside.stop()
    assert [alert["retry_count"] for alert in told] == [3, 4]
    assert told[0] == {
        "gid": "g",
        "status": "submitted",
        "branch": participants.url("Flaky"),
        "error": '500 {"error":"ERROR from user"}',
        "retry_count": 3,
    }


async def test_a_webhook_that_is_away_harms_nobody(tmp_path: Path, participants: Participants) -> None:
    inside = Inside(tmp_path, alert_webhook="http://127.0.0.1:1/alert", alert_retry_limit=1)
    await inside.start()
    participants.answer("Flaky", ERROR)
    step = {"action": participants.url("Flaky"), "compensate": ""}
    await inside.submit({"gid": "g", "trans_type": "saga", "steps": [step], "payloads": ["1"]})
    await inside.tick(sel=1000)
    assert await inside.status("g") == "succeed"
    await inside.stop()
