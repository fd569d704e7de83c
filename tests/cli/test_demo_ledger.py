"""The demo's barrier, which people will copy: effects at most once, no undo of nothing, nothing after its undo."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import pytest

from dtm.demo.ledger import Call, Ledger, Refused


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    books = Ledger(":memory:", 100)
    yield books
    books.close()


def test_a_repeated_call_has_one_effect(ledger: Ledger) -> None:
    call = Call("g", "01", "action")
    assert ledger.apply(call, -30)
    assert not ledger.apply(call, -30)
    assert ledger.balance() == (70, 0)
    assert ledger.entries("g") == [("01", "action", -30, 0)]


@pytest.mark.parametrize(("do", "undo"), [("action", "compensate"), ("try", "cancel")])
@pytest.mark.parametrize("change", [-30, 30])
def test_whatever_the_order_what_is_undone_leaves_nothing(do: str, undo: str, change: int) -> None:
    for order in permutations([do, do, undo, undo]):
        ledger = Ledger(":memory:", 100)
        for op in order:
            ledger.apply(Call("g", "01", op), change)
        assert ledger.balance() == (100, 0)
        assert [entry[1] for entry in ledger.entries("g")] in ([], [do, undo])
        ledger.close()


def test_branches_and_transactions_do_not_bar_each_other(ledger: Ledger) -> None:
    ledger.apply(Call("g", "01", "compensate"), -30)
    assert ledger.apply(Call("g", "02", "action"), -10)
    assert ledger.apply(Call("h", "01", "action"), -10)
    assert ledger.balance() == (80, 0)


def test_what_was_frozen_is_confirmed(ledger: Ledger) -> None:
    ledger.apply(Call("g", "01", "try"), -30)
    assert ledger.balance() == (100, 30)
    with pytest.raises(Refused, match="insufficient"):
        ledger.apply(Call("h", "01", "action"), -80)
    ledger.apply(Call("g", "01", "confirm"), -30)
    assert ledger.balance() == (70, 0)


def test_a_refusal_keeps_nothing_so_that_its_undo_has_nothing_to_undo(ledger: Ledger) -> None:
    with pytest.raises(Refused):
        ledger.apply(Call("g", "01", "action"), -101)
    assert not ledger.apply(Call("g", "01", "compensate"), -101)
    assert not ledger.apply(Call("g", "01", "action"), -1)
    assert (ledger.balance(), ledger.entries("g")) == ((100, 0), [])


def test_an_undo_is_never_refused(ledger: Ledger) -> None:
    ledger.apply(Call("g", "01", "action"), 30)
    ledger.apply(Call("h", "01", "action"), -130)
    assert ledger.apply(Call("g", "01", "compensate"), 30)
    assert ledger.balance() == (-30, 0)


def test_a_local_transaction_that_was_committed_is_said_to_be(ledger: Ledger) -> None:
    ledger.apply(Call("g", "00", "msg"), -30)
    assert ledger.committed("g")
    assert ledger.committed("g")


def test_once_asked_about_a_local_transaction_that_did_not_happen_cannot_happen(ledger: Ledger) -> None:
    assert not ledger.committed("g")
    assert not ledger.apply(Call("g", "00", "msg"), -30)
    assert not ledger.committed("g")
    assert ledger.balance() == (100, 0)
