"""Passes under stress: one run per transaction, verbs that race it, leases that run short."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.coordinator import FAST, Coordinator
from tests.support.inside import Inside
from tests.support.participants import ERROR, ONGOING, Participants, Seen, failure


def saga(participants: Participants, gid: str, *names: str, **more: Any) -> dict:
    steps = [{"action": participants.url(name), "compensate": participants.url(f"{name}-undo")} for name in names]
    return {"gid": gid, "trans_type": "saga", "steps": steps, "payloads": ["{}"] * len(steps), **more}


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


# One run


async def test_submits_of_one_gid_at_once_start_one_run(inside: Inside, participants: Participants) -> None:
    """All wait for the one run, and hear its end."""
    participants.delay("a", 0.2)
    loop = asyncio.get_running_loop()
    body = saga(participants, "g", "a", "b", wait_result=True)
    with ThreadPoolExecutor(20) as pool:
        answers = await asyncio.gather(
            *(loop.run_in_executor(pool, inside.client.post, "submit", body) for _ in range(20))
        )
    assert participants.of("g") == ["action 01 POST a", "action 02 POST b"]
    assert answers == [(200, {"dtm_result": "SUCCESS"})] * 20


async def test_a_submit_during_the_run_starts_nothing_twice(inside: Inside, participants: Participants) -> None:
    participants.delay("a", 0.5)
    body = saga(participants, "g", "a", "b")
    assert (await inside.post("submit", body))[0] == 200
    await until(lambda: len(participants.calls) == 1)
    for _ in range(5):
        assert (await inside.post("submit", body))[0] == 200
    assert (await inside.post("submit", {**body, "wait_result": True}))[0] == 200
    assert participants.of("g") == ["action 01 POST a", "action 02 POST b"]


async def test_a_submit_of_a_parked_one_makes_it_due(inside: Inside, participants: Participants) -> None:
    participants.answer("a", ONGOING)
    body = saga(participants, "g", "a")
    await inside.submit(body)
    assert participants.of("g") == ["action 01 POST a"]
    answers = await asyncio.gather(*(inside.post("submit", {**body, "wait_result": True}) for _ in range(4)))
    assert {status for status, _ in answers} <= {200, 409}  # 409 for those who came after its end
    assert {said.get("status", "succeed") for _, said in answers} == {"succeed"}
    assert participants.of("g") == ["action 01 POST a"] * 2


# Verbs that race a running pass


async def test_an_abort_waits_for_the_action_in_flight(inside: Inside, participants: Participants) -> None:
    """The compensation is called when the action has landed, not before; step 2 is never begun."""
    order: list[str] = []

    def landed(seen: Seen) -> tuple[int, str]:
        order.append(f"{seen.op} {seen.branch_id} answered")
        return 200, "{}"

    participants.delay("a", 0.5)
    participants.answer("a", landed)
    participants.answer("a-undo", landed)
    await inside.post("submit", saga(participants, "g", "a", "b"))
    await until(lambda: len(participants.calls) == 1)
    assert (await inside.post("abort", {"gid": "g", "rollback_reason": "no more"}))[0] == 200
    assert await inside.status("g") == "aborting"
    assert order == []
    await inside.idle()
    assert order == ["action 01 answered", "compensate 01 answered"]
    assert participants.of("g") == ["action 01 POST a", "compensate 01 POST a-undo"]
    transaction = await inside.transaction("g")
    assert (transaction["status"], transaction["rollback_reason"]) == ("failed", "no more")


async def test_an_abort_while_the_action_hangs(inside: Inside, participants: Participants) -> None:
    """A call that times out is compensated: it may have been carried out."""
    participants.delay("a", 2)
    await inside.post("submit", saga(participants, "g", "a", request_timeout=1))
    await until(lambda: len(participants.calls) == 1)
    assert (await inside.post("abort", {"gid": "g"}, wait_result=1))[0] == 200
    assert participants.of("g") == ["action 01 POST a", "compensate 01 POST a-undo"]
    assert await inside.status("g") == "failed"


async def test_an_abort_while_it_waits_for_a_slot(io_loop, tmp_path: Path, participants: Participants) -> None:
    """What has not been sent is withdrawn, and nothing that was never sent is taken back."""
    inside = Inside(tmp_path, calls_per_host=1)
    await inside.start()
    try:
        participants.delay("slow", 1)
        await inside.post("submit", saga(participants, "first", "slow"))
        await until(lambda: len(participants.calls) == 1)
        await inside.post("submit", saga(participants, "second", "slow"))
        assert (await inside.post("abort", {"gid": "second"}, wait_result=1))[0] == 200
        assert await inside.status("first") == "submitted"
        await inside.idle()
        assert await inside.status("second") == "failed"
        assert participants.of("second") == []
        assert participants.of("first") == ["action 01 POST slow"]
    finally:
        await inside.stop()


async def test_a_call_begins_when_it_is_sent(io_loop, tmp_path: Path, participants: Participants) -> None:
    """Not when it was wished for: its time-out, and the story of the transaction, count from there."""
    inside = Inside(tmp_path, calls_per_host=1)
    await inside.start()
    try:
        participants.delay("slow", 0.5)
        await inside.post("submit", saga(participants, "first", "slow"))
        await until(lambda: len(participants.calls) == 1)
        await inside.submit(saga(participants, "second", "slow"))
        first, second = [(await inside.app.store.load(gid)).branches[1].log[0] for gid in ("first", "second")]
        assert second.time >= first.time + first.duration_ms
    finally:
        await inside.stop()


async def test_a_force_stop_ends_the_pass(inside: Inside, participants: Participants) -> None:
    """Nothing is called after it, not even what undoes the action that was in flight."""
    participants.delay("a", 0.3)
    await inside.post("submit", saga(participants, "g", "a", "b"))
    await until(lambda: len(participants.calls) == 1)
    assert (await inside.post("forceStop", {"gid": "g"}))[0] == 200
    await inside.idle()
    assert await inside.tick() == 0
    assert participants.of("g") == ["action 01 POST a"]
    transaction = await inside.transaction("g")
    assert (transaction["status"], transaction["rollback_reason"]) == ("failed", "force stopped")


async def test_a_late_refusal_meets_an_abort(inside: Inside, participants: Participants) -> None:
    """The action answers FAILURE after the abort was decided: one decision, one round of compensations."""
    participants.delay("b", 0.3)
    participants.answer("b", failure("too late"))
    await inside.post("submit", saga(participants, "g", "a", "b"))
    await until(lambda: len(participants.calls) == 2)
    assert (await inside.post("abort", {"gid": "g", "rollback_reason": "mine"}, wait_result=1))[0] == 200
    assert participants.of("g")[2:] == ["compensate 02 POST b-undo", "compensate 01 POST a-undo"]
    assert (await inside.transaction("g"))["rollback_reason"] == "mine"


async def test_registrations_and_a_decision_at_once(inside: Inside, participants: Participants) -> None:
    """200 means that the branch is driven, 409 that it is not: whatever the order they came in."""
    reference = {"gid": "g", "trans_type": "tcc"}
    assert (await inside.post("prepare", reference))[0] == 200
    loop = asyncio.get_running_loop()

    def post(verb: str, **more: str) -> Any:
        return loop.run_in_executor(pool, inside.client.post, verb, {**reference, **more})

    with ThreadPoolExecutor(21) as pool:
        urls = {"confirm": participants.url("confirm"), "cancel": participants.url("cancel"), "data": "{}"}
        calls = [post("registerBranch", branch_id=f"{n:02d}", **urls) for n in range(20)]
        calls.insert(10, post("submit"))
        statuses = [status for status, _ in await asyncio.gather(*calls)]
    await inside.idle()
    assert statuses.pop(10) == 200
    assert set(statuses) <= {200, 409}
    accepted = sorted(f"{n:02d}" for n, status in enumerate(statuses) if status == 200)
    assert sorted(call.branch_id for call in participants.seen("g")) == accepted
    assert {call.op for call in participants.seen("g")} <= {"confirm"}
    assert await inside.status("g") == "succeed"


# Time


def refusing_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def test_a_refused_connection_is_tried_again_soon(tmp_path: Path, participants: Participants) -> None:
    """Long before its interval of ten seconds, and between two polls; it never counts as begun."""
    with Coordinator(tmp_path, DTM_POLL_INTERVAL="60") as coordinator:
        url = f"http://127.0.0.1:{refusing_port()}/"
        body = {"gid": "g", "trans_type": "saga", "steps": [{"action": url, "compensate": participants.url("undo")}]}
        coordinator.client.post("submit", {**body, "payloads": ["{}"]})
        deadline = time.monotonic() + 9
        while (action := coordinator.client.query("g")["branches"][1])["attempt_count"] < 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert {attempt["error"].split(":")[0] for attempt in action["attempts"]} == {"connection refused"}
        assert coordinator.client.post("abort", {"gid": "g"}, wait_result=1)[0] == 200
        assert coordinator.client.status("g") == "failed"
    assert participants.calls == []


@pytest.mark.parametrize("write_behind", [0, 0.05, 60])
async def test_what_was_learned_is_durable(
    io_loop, tmp_path: Path, participants: Participants, write_behind: float
) -> None:
    """With 0 a result is on disk before the next call is answered; else once its time is over, or at parking."""
    inside = Inside(tmp_path, write_behind=write_behind)
    await inside.start()
    try:
        participants.delay("b", 0.5)
        await inside.post("submit", saga(participants, "g", "a", "b"))
        await until(lambda: len(participants.calls) == 2)
        await asyncio.sleep(0.2)
        stored = await inside.app.store.load("g")
        assert [branch.status for branch in stored.branches if branch.op == "action"] == [
            "prepared" if write_behind == 60 else "succeed",
            "prepared",
        ]
        assert [branch.started for branch in stored.branches if branch.op == "action"] == (
            [0, 0] if write_behind == 60 else [1, 1]
        )
        await inside.idle()
        assert await inside.branches("g") == "psps"
        assert participants.of("g") == ["action 01 POST a", "action 02 POST b"]
    finally:
        await inside.stop()


def test_a_call_longer_than_the_lease(tmp_path: Path, participants: Participants) -> None:
    """The lease is renewed while it lasts: it is made once, and so is the next one."""
    participants.delay("a", 1.8)
    participants.delay("b", 1.8)
    settings = {**FAST, "DTM_LEASE": "0.6", "DTM_REQUEST_TIMEOUT": "2", "DTM_POLL_INTERVAL": "0.1"}
    with Coordinator(tmp_path, **settings) as coordinator:
        status, _ = coordinator.client.post("submit", saga(participants, "g", "a", "b", wait_result=True))
        assert status == 200
        assert participants.of("g") == ["action 01 POST a", "action 02 POST b"]


async def test_errors_and_refusals_where_none_is_allowed(inside: Inside, participants: Participants) -> None:
    """A compensation that refuses, errs or dawdles is called until it succeeds; only errors count as attempts."""
    participants.answer("b", failure("no"))
    participants.answer("a-undo", failure("neither"), ERROR, ONGOING)
    await inside.submit(saga(participants, "g", "a", "b"))
    for _ in range(3):
        assert await inside.status("g") == "aborting"
        assert await inside.tick() == 1
    assert await inside.status("g") == "failed"
    compensate = (await inside.get("query", gid="g"))[1]["branches"][0]
    assert [attempt["outcome"] for attempt in compensate["attempts"]] == ["FAILURE", "ERROR", "ONGOING", "SUCCESS"]
    assert (await inside.app.store.load("g")).branches[0].attempts == 2
