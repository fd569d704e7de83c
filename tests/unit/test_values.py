"""Copies of frozen values: as `dataclasses.replace` makes them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from dtm.core.model import Branch, BranchStatus, Status, Transaction, changed_branch, changed_transaction

BRANCH = Branch("01", "action", "http://x", b"{}", started=2)
ROW = Transaction("g", "saga", "1", Status.SUBMITTED, 17, branches=(BRANCH,))


def test_a_copy_is_what_replace_makes_and_the_original_stays() -> None:
    assert changed_branch(BRANCH) == BRANCH
    assert changed_branch(BRANCH, status=BranchStatus.SUCCEED) == replace(BRANCH, status=BranchStatus.SUCCEED)
    assert BRANCH.pending
    changes = {"status": Status.SUCCEED, "owner": "a-1", "due_at": None}
    assert changed_transaction(ROW, **changes) == replace(ROW, **changes)


def test_a_copy_is_frozen_and_of_the_same_kind() -> None:
    copy = changed_branch(BRANCH, attempts=1)
    assert type(copy) is Branch
    assert hash(copy) == hash(replace(BRANCH, attempts=1))
    with pytest.raises(FrozenInstanceError):
        copy.attempts = 2  # type: ignore[misc]


@pytest.mark.parametrize("name", ["nonsense", "key", "__dict__"])
def test_what_is_no_field_cannot_be_changed(name: str) -> None:
    with pytest.raises(AttributeError):
        changed_branch(BRANCH, **{name: 1})
