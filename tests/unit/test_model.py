"""Branches and snapshots: how an answer is folded in, what may have run, when time is up."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtm.core.model import (
    ERROR_CHARS,
    Attempt,
    Branch,
    BranchStatus,
    Op,
    Options,
    Outcome,
    Status,
    Transaction,
    evolve,
    nothing,
    record,
)
from dtm.core.snapshot import Answer, Snapshot

BRANCH = Branch("01", "action", "http://h/a")
P, S, F = BranchStatus.PREPARED, BranchStatus.SUCCEED, BranchStatus.FAILED


@pytest.mark.parametrize("status", list(Status))
def test_two_statuses_are_final(status: Status) -> None:
    assert status.final == (status in ("succeed", "failed"))


def test_a_branch_knows_how_it_stands() -> None:
    assert BRANCH.key == ("01", "action")
    standings = [(b.pending, b.succeeded, b.failed) for b in (replace(BRANCH, status=status) for status in (P, S, F))]
    assert standings == [(True, False, False), (False, True, False), (False, False, True)]


@pytest.mark.parametrize(
    ("outcome", "may_fail", "status", "attempts"),
    [
        (Outcome.SUCCESS, True, S, 2),
        (Outcome.SUCCESS, False, S, 2),
        (Outcome.FAILURE, True, F, 2),
        (Outcome.FAILURE, False, P, 3),
        (Outcome.ONGOING, True, P, 2),
        (Outcome.ONGOING, False, P, 2),
        (Outcome.ERROR, True, P, 3),
        (Outcome.ERROR, False, P, 3),
    ],
)
def test_an_answer_is_folded_in(outcome: Outcome, may_fail: bool, status: BranchStatus, attempts: int) -> None:
    before = replace(BRANCH, started=3, attempts=2)
    assert evolve(before, outcome, Op(may_fail=may_fail)) == (status, attempts)


@given(st.lists(st.sampled_from(Outcome)), st.booleans())
def test_a_branch_leaves_pending_at_most_once(answers: list[Outcome], may_fail: bool) -> None:
    branch = BRANCH
    for outcome in answers:
        after = record(branch, Attempt(0, 0, outcome), Op(may_fail=may_fail))
        assert branch.pending or (after.status, after.attempts) == (branch.status, branch.attempts)
        branch = after


def test_the_story_keeps_its_beginning_and_its_end() -> None:
    branch = BRANCH
    for number in range(20):
        branch = record(branch, Attempt(number, 5, Outcome.ERROR, f"error {number}"), Op())
    assert [attempt.time for attempt in branch.log] == [0, 1, 2, 13, 14, 15, 16, 17, 18, 19]
    assert (branch.answered, branch.ended_at, branch.error) == (20, 24, "error 19")
    assert record(BRANCH, Attempt(0, 0, Outcome.ERROR, "x" * 9999), Op()).error == "x" * ERROR_CHARS


def test_a_short_story_is_whole() -> None:
    branch = BRANCH
    for number in range(10):
        branch = record(branch, Attempt(number, 0, Outcome.ONGOING), Op())
    assert [attempt.time for attempt in branch.log] == list(range(10))


def test_deadline() -> None:
    never = Snapshot("g", Status.PREPARED, created=1000, now=10**12)
    assert (never.deadline, never.timed_out) == (None, False)
    limited = replace(never, timeout=1.5, now=2499)
    assert (limited.deadline, limited.timed_out) == (2500, False)
    assert replace(limited, now=2500).timed_out


def test_branches_of_an_operation_come_in_stored_order() -> None:
    undo, other = Branch("01", "compensate", ""), Branch("00", "action", "")
    assert Snapshot("g", Status.PREPARED, branches=(undo, BRANCH, other)).op("action") == (BRANCH, other)


@pytest.mark.parametrize(
    ("started", "recovered", "op", "may_have_run"),
    [
        (0, False, "action", False),
        (1, False, "action", True),
        (0, True, "action", True),
        (0, True, "compensate", False),
        (1, True, "compensate", True),
    ],
)
def test_may_have_run(started: int, recovered: bool, op: str, may_have_run: bool) -> None:
    snapshot = Snapshot("g", Status.ABORTING, recovered=recovered, undoable=frozenset({"action"}))
    assert snapshot.may_have_run(Branch("01", op, "", started=started)) is may_have_run


@pytest.mark.parametrize(
    "value",
    [BRANCH, Op(), Options(), Attempt(0, 0, Outcome.ERROR), Answer(Outcome.SUCCESS), Snapshot("g", Status.PREPARED)],
)
def test_values_are_frozen_and_without_surprises(value: object) -> None:
    assert not hasattr(value, "__dict__")
    with pytest.raises(FrozenInstanceError):
        setattr(value, fields(value)[0].name, "other")


def test_defaults_cannot_be_written_to() -> None:
    tx = Transaction("g", "t", "1", Status.SUBMITTED, 0)
    assert tx.body is nothing()
    with pytest.raises(TypeError):
        tx.body["x"] = 1
