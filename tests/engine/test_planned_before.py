"""What the plan says before a row is written is what its pass begins with, unless something may have changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dtm import Branch, Decision, Options, Snapshot, Status
from dtm.core.model import Transaction
from tests.support.inside import Inside
from tests.support.participants import Participants


@pytest.fixture
def plans(inside: Inside) -> list[Snapshot]:
    """What the saga's plan has been asked."""
    asked: list[Snapshot] = []
    rules = inside.app.node.rules
    saga = rules["saga"].protocol

    def plan(snapshot: Snapshot) -> Decision:
        asked.append(snapshot)
        return saga.plan(snapshot)

    rules["saga"] = replace(rules["saga"], protocol=replace(saga, plan=plan))
    return asked


def body(participants: Participants, **more: Any) -> dict[str, Any]:
    steps = [{"action": participants.url(name), "compensate": participants.url(f"{name}-undo")} for name in "ab"]
    return {"gid": "g", "trans_type": "saga", "steps": steps, "payloads": ["{}"] * 2, **more}


def succeeded(snapshot: Snapshot) -> int:
    return sum(branch.succeeded for branch in snapshot.branches)


async def test_a_new_one_is_planned_once_per_state(
    inside: Inside, participants: Participants, plans: list[Snapshot]
) -> None:
    await inside.submit(body(participants))
    assert participants.of("g") == ["action 01 POST a", "action 02 POST b"]
    assert list(map(succeeded, plans)) == [0, 1, 2]


async def test_a_call_until_a_moment_is_planned_anew(
    inside: Inside, participants: Participants, plans: list[Snapshot]
) -> None:
    """For the moment may have come while the row was written."""
    await inside.submit(body(participants, timeout_to_fail=60))
    assert list(map(succeeded, plans)) == [0, 0, 1, 2]


async def test_news_before_the_first_step(inside: Inside, participants: Participants, plans: list[Snapshot]) -> None:
    await inside.app.service.verbs.submit(body(participants))
    inside.app.passes.notify("g")  # as a verb would that has just changed the row
    await inside.idle()
    assert participants.of("g") == ["action 01 POST a", "action 02 POST b"]
    assert list(map(succeeded, plans)) == [0, 0, 1, 2]


async def test_a_row_in_doubt_is_planned_with_its_doubt(
    inside: Inside, participants: Participants, plans: list[Snapshot]
) -> None:
    """It was claimed and given back, with no slot to be had: who submits it again runs it."""
    asked = body(participants)
    branches = tuple(
        Branch(f"0{number}", op, step[op], b"{}")
        for number, step in enumerate(asked["steps"], 1)
        for op in ("compensate", "action")
    )
    kept = {name: asked[name] for name in ("steps", "payloads")}
    later = inside.app.store.now() + 60_000
    stored = Transaction("g", "saga", "1", Status.SUBMITTED, later, kept, Options(), branches=branches)
    await inside.app.store.insert(replace(stored, doubt=True, due_at=later))
    await inside.submit(asked)
    assert participants.of("g") == ["action 01 POST a", "action 02 POST b"]
    assert [snapshot.recovered for snapshot in plans] == [False] * 3 + [True] * 3
