"""XA: what a registration makes, and what is decided on each standing (contract 3.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_tables import CREATED, Play, marks_of, say, snap

import dtm
from dtm.plugins import xa

PROTOCOL = xa.PROTOCOL


def registered(body: dict) -> list[dtm.Branch]:
    return PROTOCOL.register(dtm.Request(verb="register", gid="g", trans_type="xa", body=body))


def rows(count: int = 2) -> list[dtm.Branch]:
    bodies = [{"branch_id": f"0{i}", "url": f"http://h/{i}"} for i in range(1, count + 1)]
    return [branch for body in bodies for branch in registered(body)]


def test_one_hook_offers_one_protocol() -> None:
    assert xa.dtm_register_protocols() == [PROTOCOL]
    assert PROTOCOL.verbs == dtm.TWO_PHASE
    assert all(op.always_post for op in PROTOCOL.ops.values())


@pytest.mark.parametrize(
    ("body", "url", "payload"),
    [
        ({"url": "http://h/u"}, "http://h/u", b""),
        ({"url": "http://h/u", "data": "x"}, "http://h/u", b"x"),
        ({}, "", b""),
    ],
)
def test_a_registration_makes_rollback_then_commit(body: dict, url: str, payload: bytes) -> None:
    assert registered({"branch_id": "01", **body}) == [
        dtm.Branch("01", "rollback", url, payload),
        dtm.Branch("01", "commit", url, payload),
    ]


@pytest.mark.parametrize(
    ("status", "marks", "decision"),
    [
        ("prepared", "pp", "wait 35000"),
        ("submitted", "", "move succeed"),
        ("submitted", "pp pp", "call commit.01"),
        ("submitted", "p? pp", "call commit.01"),
        ("submitted", "ps pp", "call commit.02"),
        ("submitted", "ps ps", "move succeed"),
        ("aborting", "", "move failed"),
        ("aborting", "pp pp", "call rollback.01"),
        ("aborting", "sp pp", "call rollback.02"),
        ("aborting", "sp sp", "move failed"),
    ],
)
def test_the_first_registered_comes_first(status: str, marks: str, decision: str) -> None:
    assert say(PROTOCOL.plan(snap(PROTOCOL, rows(len(marks) // 2), marks, status, timeout=35))) == decision


def test_undecided_it_is_rolled_back_at_the_time_out() -> None:
    snapshot = snap(PROTOCOL, rows(), "pppp", "prepared", timeout=35, now=CREATED + 300_000)
    assert say(PROTOCOL.plan(snapshot)) == "move aborting: Timeout after 35 seconds"


@given(st.integers(0, 4), st.data())
def test_every_history_commits_all_or_rolls_all_back(count: int, data: st.DataObject) -> None:
    start = snap(PROTOCOL, rows(count), "pp" * count, "prepared", timeout=35)
    play = Play(PROTOCOL, start, lambda choices: data.draw(st.sampled_from(choices)))
    for snapshot, decision in play.turns():
        if isinstance(decision, dtm.Call):
            (branch,) = decision.branches
            assert all(other.succeeded for other in snapshot.op(branch.op) if other.branch_id < branch.branch_id)
    succeeded = play.now.status is dtm.Status.SUCCEED
    assert {op for _, op in play.called} <= ({"commit"} if succeeded else {"rollback"})
    assert marks_of(play.now.branches) == ("ps" if succeeded else "sp") * count
