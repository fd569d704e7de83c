"""TCC: what a registration makes, and what is decided on each standing (contract 3.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_tables import CREATED, Play, marks_of, say, snap

import dtm
from dtm.core.errors import NotAllowed
from dtm.core.lifecycle import apply
from dtm.plugins import tcc

PROTOCOL = tcc.PROTOCOL


def registered(body: dict) -> list[dtm.Branch]:
    return PROTOCOL.register(dtm.Request(verb="register", gid="g", trans_type="tcc", body=body))


def rows(count: int = 2) -> list[dtm.Branch]:
    numbers = range(1, count + 1)
    bodies = [{"branch_id": f"0{i}", "confirm": f"http://h/c{i}", "cancel": f"http://h/x{i}"} for i in numbers]
    return [branch for body in bodies for branch in registered(body)]


def test_one_hook_offers_one_protocol() -> None:
    assert tcc.dtm_register_protocols() == [PROTOCOL]
    assert PROTOCOL.default_timeout
    assert list(PROTOCOL.expand(dtm.Request(verb="submit", gid="g", trans_type="tcc"))) == []


@pytest.mark.parametrize(
    ("body", "cancel", "confirm", "payload"),
    [
        (
            {"confirm": "http://h/c", "cancel": "http://h/x", "data": '{"a":"é"}'},
            "http://h/x",
            "http://h/c",
            '{"a":"é"}',
        ),
        ({"confirm": "http://h/c", "try": "http://h/t"}, "", "http://h/c", ""),
        ({}, "", "", ""),
    ],
)
def test_a_registration_makes_cancel_then_confirm(body: dict, cancel: str, confirm: str, payload: str) -> None:
    assert registered({"branch_id": "0101", **body}) == [
        dtm.Branch("0101", "cancel", cancel, payload.encode()),
        dtm.Branch("0101", "confirm", confirm, payload.encode()),
    ]


@pytest.mark.parametrize(
    ("status", "marks", "decision"),
    [
        ("submitted", "", "move succeed"),
        ("submitted", "pp pp", "call confirm.02"),
        ("submitted", "pp p?", "call confirm.02"),
        ("submitted", "pp ps", "call confirm.01"),
        ("submitted", "p? ps", "call confirm.01"),
        ("submitted", "ps ps", "move succeed"),
        ("aborting", "", "move failed"),
        ("aborting", "pp pp", "call cancel.02"),
        ("aborting", "pp sp", "call cancel.01"),
        ("aborting", "sp sp", "move failed"),
    ],
)
def test_the_last_registered_comes_first(status: str, marks: str, decision: str) -> None:
    assert say(PROTOCOL.plan(snap(PROTOCOL, rows(len(marks) // 2), marks, status, timeout=35))) == decision


@pytest.mark.parametrize(
    ("timeout", "elapsed", "decision"),
    [
        (35, 0, "wait 35000"),
        (35, 34_999, "wait 35000"),
        (35, 35_000, "move aborting: Timeout after 35 seconds"),
        (3, 10**9, "move aborting: Timeout after 3 seconds"),
        (None, 10**9, "wait"),
    ],
)
def test_undecided_it_waits_for_the_time_out(timeout: int | None, elapsed: int, decision: str) -> None:
    snapshot = snap(PROTOCOL, rows(), "pppp", "prepared", timeout=timeout, now=CREATED + elapsed)
    assert say(PROTOCOL.plan(snapshot)) == decision


@pytest.mark.parametrize("status", ["submitted", "aborting"])
def test_once_decided_no_time_out_changes_it(status: str) -> None:
    snapshot = snap(PROTOCOL, rows(), "pppp", status, timeout=1, now=CREATED + 10**9)
    assert isinstance(PROTOCOL.plan(snapshot), dtm.Call)


VERBS = ["prepare", "submit", "abort", "register"]


@pytest.mark.parametrize(
    ("status", "after"),
    [
        (None, ["prepared", "submitted", None, None]),
        ("prepared", ["prepared", "submitted", "aborting", "prepared"]),
        ("submitted", [None, "submitted", None, None]),
        ("aborting", [None, None, "aborting", None]),
        ("succeed", [None] * 4),
        ("failed", [None] * 4),
    ],
)
def test_verbs(status: str | None, after: list[str | None]) -> None:
    for verb, target in zip(VERBS, after, strict=True):
        if target is None:
            with pytest.raises(NotAllowed):
                apply(PROTOCOL.verbs, verb, status and dtm.Status(status))
        else:
            assert apply(PROTOCOL.verbs, verb, status and dtm.Status(status)) == target


@given(st.integers(0, 4), st.data())
def test_every_history_confirms_all_or_cancels_all(count: int, data: st.DataObject) -> None:
    start = snap(PROTOCOL, rows(count), "pp" * count, "prepared", timeout=35)
    play = Play(PROTOCOL, start, lambda choices: data.draw(st.sampled_from(choices)))
    for snapshot, decision in play.turns():
        if isinstance(decision, dtm.Call):
            (branch,) = decision.branches
            assert all(later.succeeded for later in snapshot.op(branch.op) if later.branch_id > branch.branch_id)
    succeeded = play.now.status is dtm.Status.SUCCEED
    assert {op for _, op in play.called} <= ({"confirm"} if succeeded else {"cancel"})
    assert marks_of(play.now.branches) == ("ps" if succeeded else "sp") * count
