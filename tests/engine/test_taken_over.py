"""A pass whose row was claimed while it ran: what it may still count on, and what it tells participants."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from dtm import BranchStatus, Status
from dtm.core.store.base import Hold, Save
from tests.support.inside import Inside
from tests.support.participants import ERROR, Participants


def saga(participants: Participants, gid: str, *names: str, **more: object) -> dict:
    steps = [{"action": participants.url(name), "compensate": participants.url(f"{name}-undo")} for name in names]
    return {"gid": gid, "trans_type": "saga", "steps": steps, "payloads": ["{}"] * len(steps), **more}


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_row_that_another_node_has_had_begins_anew(inside: Inside, participants: Participants) -> None:
    """Paused, taken over, and the taker dies: what was in the air counts no longer, what the other may have begun does.

    The pass must not go on with what it knew: it would forget what the other one learned, and undo too little.
    """
    participants.delay("a", 1)
    participants.answer("a", ERROR)
    await inside.post("submit", saga(participants, "g", "a", "b"))
    await until(lambda: len(participants.calls) == 1)
    store = inside.app.store
    store.clock_offset = 60
    [claim] = await store.claim_due("another-1", 1, 15)
    learned = {("01", "action"): {"status": BranchStatus.SUCCEED, "started": 1}}
    branches = tuple(replace(branch, **learned.get(branch.key, {})) for branch in claim.tx.branches)
    await store.save(Save(replace(claim.tx, branches=branches, status=Status.ABORTING), claim.tx.version))
    # Between the claim and the abort it may have begun to call `b`. It dies.
    store.clock_offset = 120
    assert await inside.app.scheduler.claim_once() == 1
    await inside.idle()
    assert await inside.status("g") == "failed"
    compensated = [call for call in participants.of("g") if call.startswith("compensate")]
    assert compensated == ["compensate 02 POST b-undo", "compensate 01 POST a-undo"]
    stored = {branch.key: branch for branch in (await store.load("g")).branches}
    assert (stored["01", "action"].status, stored["01", "action"].attempts) == (BranchStatus.SUCCEED, 0)


async def test_what_it_claims_while_it_is_told_to_stop_is_let_go_of(inside: Inside, participants: Participants) -> None:
    """Also when its own pass still has the row as it was before another node had it."""
    participants.delay("a", 0.5)
    await inside.post("submit", saga(participants, "g", "a", "b"))
    await until(lambda: len(participants.calls) == 1)
    store = inside.app.store
    store.clock_offset = 60
    assert len(await store.claim_due("another-1", 1, 15)) == 1
    store.clock_offset = 120
    assert await inside.app.scheduler.claim_once() == 1
    inside.app.node.draining = True
    await inside.idle()
    assert (await store.load("g")).owner == ""
    assert participants.of("g") == ["action 01 POST a"]


async def test_a_claim_of_its_own_in_the_middle_of_a_renewal(
    inside: Inside, participants: Participants, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The renewal asks for a token that the claim has just replaced: the lease is not lost, nothing is called twice."""
    participants.delay("a", 0.5)
    await inside.post("submit", saga(participants, "g", "a", "b"))
    await until(lambda: len(participants.calls) == 1)
    store = inside.app.store
    store.clock_offset = 60
    renew = store.renew

    async def after_a_claim(held: Mapping[int, str], lease: float) -> set[int]:
        assert await inside.app.scheduler.claim_once() == 1
        return await renew(held, lease)

    monkeypatch.setattr(store, "renew", after_a_claim)
    for each in inside.app.passes:
        each.custody.lease_end -= 10  # old enough to be renewed
    await inside.app.passes.renew()
    await inside.idle()
    assert participants.of("g") == ["action 01 POST a", "action 02 POST b"]
    assert await inside.status("g") == "succeed"


async def test_a_claim_of_a_row_that_has_lost_commits(
    inside: Inside, participants: Participants, tmp_path: Path
) -> None:
    """The node meets its own pass, which knows the row better than the database does: it stops, nothing is called."""
    participants.delay("a", 1)
    await inside.post("submit", saga(participants, "g", "a", "b"))
    await until(lambda: len(participants.calls) == 1)
    with closing(sqlite3.connect(tmp_path / "dtm.db", isolation_level=None)) as db:
        older = db.execute("SELECT version, state FROM dtm_transaction").fetchone()
        while db.execute("SELECT version, state FROM dtm_transaction").fetchone() == older:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)  # it knows that its save is stored
        db.execute("UPDATE dtm_transaction SET version = ?, state = ?, due_at = 0", older)
    assert await inside.app.scheduler.claim_once() == 1
    await inside.idle()
    stored = await inside.app.store.load("g")
    assert stored.stopped
    assert "lost commits" in stored.trouble
    assert participants.of("g") == ["action 01 POST a"]


async def test_a_gid_that_was_purged_and_given_anew(
    inside: Inside, participants: Participants, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A pass that has missed how its transaction ended meets another one of the same gid: it is none of its affair."""
    participants.delay("a", 1)
    await inside.post("submit", saga(participants, "g", "a", "b"))
    await until(lambda: len(participants.calls) == 1)
    store = inside.app.store
    old = await store.load("g")
    while (tx := await store.load("g")).version == old.version:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.2)  # the pass knows that its save is stored
    ended = replace(tx, status=Status.FAILED, finished_at=1)
    await store.save(Save(ended, tx.version, hold=Hold("", None), doubt=False))
    assert await store.purge_finished(2, 10) == 1
    assert (await inside.submit(saga(participants, "g", "c")))[0] == 200
    stored = await store.load("g")
    assert (stored.status, stored.trouble) == (Status.SUCCEED, "")
    assert participants.of("g") == ["action 01 POST a", "action 01 POST c"]
    assert [record for record in caplog.records if record.levelname == "CRITICAL"] == []


async def test_the_epoch_never_falls(io_loop, tmp_path: Path, participants: Participants) -> None:
    """A call that waited for its slot tells the epoch of when it is sent, not of when it was wished for."""
    inside, other = Inside(tmp_path, calls_per_host=1), Participants()
    await inside.start()
    try:
        participants.delay("slow", 0.8)
        other.delay("first", 0.3)
        await inside.post("submit", saga(participants, "holds the slot", "slow"))
        await until(lambda: len(participants.calls) == 1)
        urls = [participants.url("queued"), other.url("first"), other.url("then")]
        body = {
            "gid": "g",
            "trans_type": "saga",
            "steps": [{"action": url, "compensate": url} for url in urls],
            "payloads": ["{}"] * 3,
            "custom_data": json.dumps({"concurrent": True, "orders": {"2": [1]}}),
        }
        await inside.submit(body)
        epochs = {call.path: int(call.headers["dtm-epoch"]) for call in participants.calls + other.calls}
        assert epochs["first"] < epochs["then"] <= epochs["queued"]
    finally:
        await inside.stop()
        other.close()
