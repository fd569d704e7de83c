"""Where this server differs, points 8 and 9, and V113: when something is tried again, and what is kept of each try."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import pytest

from tests.support.inside import Inside
from tests.support.participants import ERROR, ONGOING, Participants, Reply, failure
from tests.vectors.bodies import SUCCESS, msg2, saga, saga2

JITTER = 0.1


def ms(when: str) -> float:
    return datetime.fromisoformat(when).timestamp() * 1000


async def action(inside: Inside, gid: str = "g", index: int = 1) -> dict[str, Any]:
    return (await inside.get("query", gid=gid))[1]["branches"][index]


async def next_wait(inside: Inside, gid: str = "g") -> float:
    """Seconds from the end of the last try to the next one, as replies show them."""
    last = (await action(inside, gid))["attempts"][-1]
    due = ms((await inside.transaction(gid))["next_cron_time"])
    return (due - ms(last["time"]) - last["duration_ms"]) / 1000


@pytest.mark.parametrize(
    ("options", "answer", "interval"),
    [
        ({"retry_interval": 15}, ONGOING, 15),
        ({}, ONGOING, 10),
        ({}, ERROR, 20),
        ({"retry_interval": 15}, ERROR, 30),
        ({"timeout_to_fail": 3}, ONGOING, 3),
        ({"timeout_to_fail": 30}, ONGOING, 10),
        ({"timeout_to_fail": 3, "retry_interval": 15}, ONGOING, 15),
    ],
)
async def test_v113_intervals(
    inside: Inside, participants: Participants, options: dict[str, int], answer: Reply, interval: int
) -> None:
    participants.answer("TransOut", answer)
    assert await inside.submit(saga(participants, "g", "TransOut", **options)) == SUCCESS
    assert (await inside.transaction("g"))["next_cron_interval"] == interval


@pytest.mark.parametrize(
    ("options", "intervals"),
    [({}, [20, 40, 60, 60]), ({"retry_interval": 100}, [200, 200]), ({"retry_interval": 1}, [2])],
)
async def test_backoff_doubles_up_to_the_cap(
    inside: Inside, participants: Participants, options: dict[str, int], intervals: list[int]
) -> None:
    participants.default = ERROR
    assert await inside.submit(saga(participants, "g", "TransOut", **options)) == SUCCESS
    for tries, interval in enumerate(intervals, start=1):
        assert len(participants.calls) == tries
        assert (await inside.transaction("g"))["next_cron_interval"] == interval
        wait = await next_wait(inside)
        assert interval * (1 - JITTER) - 0.001 <= wait <= interval + 0.001
        assert await inside.tick(sel=wait - 1) == 0
        assert await inside.tick(sel=wait + 5) == 1


async def test_the_jitter_differs(inside: Inside, participants: Participants) -> None:
    participants.default = ERROR
    for number in range(8):
        await inside.submit(saga(participants, f"g{number}", "TransOut", retry_interval=1000))
    waits = {round(await next_wait(inside, f"g{number}")) for number in range(8)}
    assert len(waits) > 1


async def test_the_cap_is_a_setting(inside_with, participants: Participants) -> None:
    inside = await inside_with(retry_interval=5, retry_interval_max=15)
    participants.default = ERROR
    await inside.submit(saga(participants, "g", "TransOut"))
    for interval in (10, 15, 15):
        assert (await inside.transaction("g"))["next_cron_interval"] == interval
        assert math.isclose(await next_wait(inside), interval, rel_tol=JITTER + 0.001)
        await inside.tick()


async def test_each_branch_has_a_backoff_of_its_own(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", *[ERROR] * 9)
    participants.answer("TransIn", *[ONGOING] * 9)
    await inside.submit(msg2(participants, "g", concurrent=True))
    participants.calls.clear()
    assert await inside.tick(sel=12) == 1
    assert participants.of("g") == ["action 02 POST TransIn"]
    assert await inside.tick(sel=30) == 1
    assert sorted(participants.of("g")[1:]) == ["action 01 POST TransOut", "action 02 POST TransIn"]


async def test_a_success_starts_afresh(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", ERROR, ERROR)
    participants.answer("TransIn", ONGOING)
    await inside.submit(saga2(participants, "g"))
    for interval in (20, 40, 10):
        assert (await inside.transaction("g"))["next_cron_interval"] == interval
        await inside.tick()
    assert await inside.status("g") == "succeed"


async def test_retry_limit_counts_errors_only_and_is_stored(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", ONGOING, ONGOING, ERROR, ONGOING, ERROR)
    await inside.submit(saga(participants, "g", "TransOut", retry_limit=1))
    for calls in (1, 2, 4):
        assert (await inside.status("g"), len(participants.calls)) == ("submitted", calls)
        await inside.tick()
    assert participants.of("g") == ["action 01 POST TransOut"] * 5 + ["compensate 01 POST TransOutRevert"]
    transaction = await inside.transaction("g")
    reason = "RetryCount is greater than RetryLimit, RetryLimit: 1"
    assert (transaction["status"], transaction["rollback_reason"]) == ("failed", reason)


async def test_quick_tries_wait_longer_each_time(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", ERROR, ERROR, ERROR)
    assert await inside.post("submit", saga(participants, "g", "TransOut", retry_limit=3, wait_result=True)) == SUCCESS
    tries = (await action(inside))["attempts"]
    starts, ends = ([ms(t["time"]) + t["duration_ms"] * end for t in tries] for end in (0, 1))
    for end, start, wait in zip(ends, starts[1:], (100, 200, 400), strict=False):
        assert start - end >= wait - 2
    assert [t["outcome"] for t in tries] == ["ERROR", "ERROR", "ERROR", "SUCCESS"]


async def test_a_failure_is_no_matter_of_retries(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", failure("no"))
    await inside.submit(saga(participants, "g", "TransOut", retry_limit=5))
    assert participants.of("g") == ["action 01 POST TransOut", "compensate 01 POST TransOutRevert"]


async def test_the_first_three_and_the_last_seven_tries_are_kept(inside: Inside, participants: Participants) -> None:
    participants.answer("TransOut", *[(500, f"no {number}") for number in range(12)])
    await inside.submit(saga(participants, "g", "TransOut"))
    for _ in range(12):
        await inside.tick()
    branch = await action(inside)
    assert branch["attempt_count"] == 13
    assert [t["error"] for t in branch["attempts"]] == [f"500 no {n}" for n in (0, 1, 2, 6, 7, 8, 9, 10, 11)] + [""]
    assert [t["outcome"] for t in branch["attempts"]] == ["ERROR"] * 9 + ["SUCCESS"]
    times = [ms(t["time"]) for t in branch["attempts"]]
    assert times == sorted(times)
    for attempt in branch["attempts"]:
        assert set(attempt) == {"time", "duration_ms", "outcome", "error"}
        assert type(attempt["duration_ms"]) is int
        assert attempt["duration_ms"] >= 0
