"""Frozen values made quickly: as `dataclasses` makes them, and as `dataclasses.replace` copies them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict, dataclass, field, replace
from inspect import signature

import pytest

from dtm.core.model import Branch, BranchStatus, Status, Transaction, changed_branch, changed_transaction
from dtm.core.values import maker, quick, replacer

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
    with pytest.raises(TypeError):
        changed_branch(BRANCH, **{name: 1})


def test_a_copy_whose_changes_are_known_takes_just_these() -> None:
    tried = replacer(Branch, "attempts", "error")
    copy = tried(BRANCH, attempts=1, error="x")
    assert (copy, type(copy)) == (replace(BRANCH, attempts=1, error="x"), Branch)
    for wrong in ({}, {"attempts": 1}, {"attempts": 1, "error": "x", "started": 3}):
        with pytest.raises(TypeError):
            tried(BRANCH, **wrong)


def made(kw_only: bool) -> type:
    """A frozen dataclass with a field of each sort."""

    @dataclass(frozen=True, slots=True, kw_only=kw_only)
    class Value:
        one: int
        two: str = "2"
        more: list[int] = field(default_factory=list)

        @property
        def both(self) -> str:
            return f"{self.one}{self.two}"

    return Value


@pytest.mark.parametrize("way", [quick, maker])
@pytest.mark.parametrize("kw_only", [False, True])
def test_the_quick_ways_take_what_the_slow_one_takes(kw_only: bool, way) -> None:
    slow, kind = made(kw_only), made(kw_only)
    fast = way(kind)
    for named in ({"one": 1}, {"one": 1, "two": "x"}, {"more": [3], "one": 2}):
        value = fast(**named)
        assert asdict(value) == asdict(slow(**named))
        assert (type(value), value.both) == (kind, slow(**named).both)
        assert value == replace(value)
        with pytest.raises(FrozenInstanceError):
            value.one = 2
    assert fast(one=1).more is not fast(one=1).more
    for wrong in ({}, {"two": "x"}, {"one": 1, "three": 3}):
        with pytest.raises(TypeError):
            fast(**wrong)
    assert list(signature(fast).parameters) == list(signature(slow).parameters)
    assert [p.kind for p in signature(fast).parameters.values()] == [
        p.kind for p in signature(slow).parameters.values()
    ]


@pytest.mark.parametrize("way", [quick, maker])
def test_the_quick_ways_take_places_where_the_slow_one_does(way) -> None:
    assert asdict(way(made(kw_only=False))(1, "x", [2])) == {"one": 1, "two": "x", "more": [2]}
    with pytest.raises(TypeError):
        way(made(kw_only=True))(1)


def test_what_is_derived_keeps_its_class() -> None:
    @dataclass(frozen=True)
    class More(quick(made(kw_only=False))):  # type: ignore[misc]
        four: int = 4

    value = More(1)
    assert (type(value), asdict(value)) == (More, {"one": 1, "two": "2", "more": [], "four": 4})

    class Other(quick(made(kw_only=True))):  # type: ignore[misc]
        __slots__ = ()

    assert (type(Other(one=1)), Other(one=1).more) == (Other, [])
