"""Where this server differs, point 14: the moment of a delay and of a time-out is kept, not the next poll's."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from tests.support.coordinator import Coordinator
from tests.support.inside import Inside
from tests.support.participants import ONGOING, Participants
from tests.vectors.bodies import SUCCESS, msg2, prepared_tcc, saga2, tcc, tcc_branch

SLEEPY = {"DTM_POLL_INTERVAL": "60", "DTM_RETRY_INTERVAL": "50"}
"""Whatever happens within a minute was not found by polling."""


def seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


async def test_due_at_the_very_moment(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", ONGOING)
    await inside.submit(msg2(participants, "delayed", custom_data='{"delay":7}'))
    await prepared_tcc(inside, participants, "prepared", "TransOut")
    await prepared_tcc(inside, participants, "its own", "TransOut", timeout_to_fail=12)
    await inside.submit(saga2(participants, "saga", timeout_to_fail=20, retry_interval=100))
    for gid, moment in (("delayed", 7), ("prepared", 35), ("its own", 12), ("saga", 20)):
        transaction = await inside.transaction(gid)
        assert seconds(transaction["create_time"], transaction["next_cron_time"]) == moment


async def test_nothing_happens_before(inside: Inside, participants: Participants) -> None:
    await inside.submit(msg2(participants, "g", custom_data='{"delay":7}'))
    await prepared_tcc(inside, participants, "h", "TransOut", timeout_to_fail=7)
    await inside.tick(now=6.5)
    assert (await inside.status("g"), await inside.status("h"), participants.calls) == ("submitted", "prepared", [])
    await inside.tick(now=7.5)
    assert (await inside.status("g"), await inside.status("h")) == ("succeed", "failed")


@pytest.fixture
def sleepy(tmp_path: Path):
    with Coordinator(tmp_path, **SLEEPY) as process:
        yield process


def test_a_process_needs_no_poll(sleepy: Coordinator, participants: Participants) -> None:
    client = sleepy.client
    participants.answer("TransOut", ONGOING)
    assert client.post("submit", saga2(participants, "saga", timeout_to_fail=2, retry_interval=50)) == SUCCESS
    assert client.post("submit", msg2(participants, "msg", custom_data='{"delay":1}')) == SUCCESS
    assert client.post("prepare", tcc("tcc", timeout_to_fail=1)) == SUCCESS
    assert client.post("registerBranch", tcc_branch(participants, "tcc", "01", "TransOut")) == SUCCESS
    ends = {"saga": ("failed", "rollback_time"), "msg": ("succeed", "finish_time"), "tcc": ("failed", "rollback_time")}
    for gid, (status, key) in ends.items():
        assert client.until_final(gid, within=30) == status
        transaction = client.query(gid)["transaction"]
        assert seconds(transaction["create_time"], transaction[key]) >= (2 if gid == "saga" else 1)
    assert client.query("saga")["transaction"]["rollback_reason"] == "Timeout after 2 seconds"
