"""Which branches may be called now."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtm.core import ordering
from dtm.core.decisions import Call, Move, Wait
from dtm.core.model import Branch, BranchStatus, Status
from dtm.core.snapshot import Snapshot

STATUS = {"p": BranchStatus.PREPARED, "s": BranchStatus.SUCCEED, "f": BranchStatus.FAILED}


def branches(marks: str, op: str = "action") -> tuple[Branch, ...]:
    return tuple(Branch(f"{i}", op, "http://h", status=STATUS[mark]) for i, mark in enumerate(marks))


def ids(found: tuple[Branch, ...]) -> str:
    return "".join(branch.branch_id for branch in found)


@pytest.mark.parametrize(
    ("marks", "one", "reverse", "together", "done"),
    [
        ("", "", "", "", True),
        ("ppp", "0", "2", "012", False),
        ("spp", "1", "2", "12", False),
        ("pps", "0", "1", "01", False),
        ("sps", "1", "1", "1", False),
        ("fpp", "", "2", "12", False),
        ("ppf", "0", "", "01", False),
        ("sss", "", "", "", True),
        ("ssf", "", "", "", False),
    ],
)
def test_plain_orders(marks: str, one: str, reverse: str, together: str, done: bool) -> None:
    some = branches(marks)
    assert ids(ordering.one_by_one(some)) == one
    assert ids(ordering.in_reverse(some)) == reverse
    assert ids(ordering.at_once(some)) == together
    assert ordering.all_succeeded(some) is done


DIAMOND = {"1": ["0"], "2": ["0"], "3": ["1", "2"]}


@pytest.mark.parametrize(
    ("marks", "found"),
    [
        ("pppp", "0"),
        ("sppp", "12"),
        ("sspp", "2"),
        ("sssp", "3"),
        ("ssss", ""),
        ("sfpp", "2"),
        ("sfsp", ""),
        ("ppsp", "0"),
    ],
)
def test_after(marks: str, found: str) -> None:
    assert ids(ordering.after(branches(marks), DIAMOND)) == found
    assert ids(ordering.after(iter(branches(marks)), DIAMOND)) == found


def test_a_predecessor_that_is_not_there_is_nothing_to_wait_for() -> None:
    assert ids(ordering.after(branches("pp"), {"1": ["7"]})) == "01"


def test_reversed_graph() -> None:
    assert ordering.reversed_graph(DIAMOND) == {"0": {"1", "2"}, "1": {"3"}, "2": {"3"}, "3": set()}
    assert ordering.reversed_graph({}) == {}


@pytest.mark.parametrize(
    ("graph", "cyclic"),
    [
        ({}, False),
        (DIAMOND, False),
        ({"0": ["0"]}, True),
        ({"0": ["1"], "1": ["0"]}, True),
        ({"0": ["1"], "1": ["2"], "2": ["3"], "3": ["1"]}, True),
        ({"0": ["7", "7"], "1": ["0"]}, False),
    ],
)
def test_has_cycle(graph: dict, cyclic: bool) -> None:
    assert ordering.has_cycle(graph) is cyclic
    assert ordering.has_cycle(ordering.reversed_graph(graph)) is cyclic


def test_a_long_chain_is_no_cycle() -> None:
    chain = {str(i): [str(i - 1)] for i in range(1, 20_000)}
    assert not ordering.has_cycle(chain)
    assert ordering.has_cycle({**chain, "0": ["19999"]})


NODES = st.sampled_from("012345")


@given(st.dictionaries(NODES, st.sets(NODES, max_size=3)))
def test_a_graph_has_a_cycle_or_can_be_worked_off(graph: dict[str, set[str]]) -> None:
    left = branches("pppppp")
    while ready := ordering.after(left, graph):
        left = tuple(replace(b, status=BranchStatus.SUCCEED) if b in ready else b for b in left)
    assert ordering.all_succeeded(left) is not ordering.has_cycle(graph)


@pytest.mark.parametrize(("recovered", "found"), [(False, "123"), (True, "0123")])
def test_undoing_calls_whoever_may_know(recovered: bool, found: str) -> None:
    """0 was never called, 1 has an unclear answer, 2 has done it, 3 has refused."""
    forward = [replace(b, started=int(b.branch_id > "0")) for b in branches("ppsf", "do")]
    rows = (*forward, *branches("pppp", "undo"))
    snapshot = Snapshot("g", Status.ABORTING, branches=rows, recovered=recovered, undoable=frozenset(["do"]))
    undoing = ordering.undoing(snapshot, "undo", "do")
    assert ids(undoing) == found
    assert {branch.op for branch in undoing} == {"undo"}


PLAN = ordering.two_phase("do", "undo", ordering.at_once)


@pytest.mark.parametrize(
    ("status", "now", "do", "undo", "decision"),
    [
        ("prepared", 4999, "p", "p", Wait(5000)),
        ("prepared", 5000, "p", "p", Move(Status.ABORTING, "Timeout after 5 seconds")),
        ("submitted", 9999, "pp", "pp", Call(branches("pp", "do"))),
        ("submitted", 0, "ss", "pp", Move(Status.SUCCEED)),
        ("aborting", 9999, "pp", "sp", Call(branches("sp", "undo")[1:])),
        ("aborting", 0, "pp", "ss", Move(Status.FAILED)),
    ],
)
def test_two_phase(status: str, now: int, do: str, undo: str, decision: object) -> None:
    rows = (*branches(do, "do"), *branches(undo, "undo"))
    assert PLAN(Snapshot("g", Status(status), now=now, timeout=5, branches=rows)) == decision


@pytest.mark.parametrize(("timeout", "seconds"), [(35, 35), (1.9, 1), (None, 0)])
def test_timeout_reason_prints_the_limit_in_whole_seconds(timeout: float | None, seconds: int) -> None:
    snapshot = Snapshot("g", Status.PREPARED, timeout=timeout)
    assert ordering.timeout_reason(snapshot) == f"Timeout after {seconds} seconds"
