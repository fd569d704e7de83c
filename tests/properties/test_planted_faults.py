"""Faults planted in planners and engine: the laws must find every one of them, or they are no laws."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

import dtm
from dtm import Call, Move, Protocol, Snapshot, Status, ordering
from dtm.core import row
from dtm.core.custody import Custody
from dtm.core.engine import Pass
from dtm.core.flights import Flights
from dtm.core.model import Branch, evolve
from dtm.core.node import Node
from dtm.core.passes import Passes
from dtm.core.row import Row
from dtm.core.service.writing import Writer
from dtm.core.store.base import Save
from dtm.core.store.memory import MemoryStore
from tests.properties.runs import PROTOCOLS, broken

SEEDS = 3000
SAGA, TCC, MSG = PROTOCOLS["saga"], PROTOCOLS["tcc"], PROTOCOLS["msg"]


def found(law: str, name: str, protocol: Protocol | None = None, first: int = 0) -> bool:
    """Whether this law finds the fault in one of the histories, from this seed on."""
    seeds = range(first, first + SEEDS)
    return any(sentence.startswith(f"{law}:") for seed in seeds for sentence in broken(name, seed, protocol))


def planned(protocol: Protocol, plan: Callable[[Snapshot], dtm.Decision]) -> Protocol:
    """The same protocol with another plan."""
    return replace(protocol, plan=plan)


# Planners


def compensate_forwards(snapshot: Snapshot) -> dtm.Decision:
    decision = SAGA.plan(snapshot)
    if isinstance(decision, Call) and snapshot.status is Status.ABORTING:
        ran = {b.branch_id for b in snapshot.op("action") if not b.pending or snapshot.may_have_run(b)}
        return Call(ordering.one_by_one(b for b in snapshot.op("compensate") if b.branch_id in ran))
    return decision


def forget_what_may_have_run(snapshot: Snapshot) -> dtm.Decision:
    if snapshot.status is not Status.ABORTING:
        return SAGA.plan(snapshot)
    ended = {b.branch_id for b in snapshot.op("action") if not b.pending}
    left = [b for b in snapshot.op("compensate") if b.branch_id in ended]
    return Call(ordering.in_reverse(left)) if not ordering.all_succeeded(left) else Move(Status.FAILED)


def all_actions_at_once(snapshot: Snapshot) -> dtm.Decision:
    decision = SAGA.plan(snapshot)
    if isinstance(decision, Call) and snapshot.status is Status.SUBMITTED:
        return replace(decision, branches=ordering.at_once(snapshot.op("action")))
    return decision


def give_up_compensating(snapshot: Snapshot) -> dtm.Decision:
    if snapshot.status is Status.ABORTING and any(b.attempts for b in snapshot.op("compensate")):
        return Move(Status.FAILED)
    return SAGA.plan(snapshot)


def confirm_becomes_cancel(snapshot: Snapshot) -> dtm.Decision:
    if snapshot.status is Status.SUBMITTED and any(b.attempts > 1 for b in snapshot.op("confirm")):
        return Move(Status.ABORTING)
    return TCC.plan(snapshot)


def succeed_too_early(snapshot: Snapshot) -> dtm.Decision:
    if snapshot.status is Status.SUBMITTED and any(b.succeeded for b in snapshot.op("confirm")):
        return Move(Status.SUCCEED)
    return TCC.plan(snapshot)


def ignore_the_delay(snapshot: Snapshot) -> dtm.Decision:
    return MSG.plan(replace(snapshot, custom={}))


def a_message_fails(snapshot: Snapshot) -> dtm.Decision:
    if snapshot.status is Status.SUBMITTED and any(b.attempts > 1 for b in snapshot.op("action")):
        return Move(Status.FAILED)
    return MSG.plan(snapshot)


@pytest.mark.parametrize(
    ("name", "plan", "law"),
    [
        ("saga", compensate_forwards, "law"),
        ("saga", forget_what_may_have_run, "i_sm_4"),
        ("saga", all_actions_at_once, "law"),
        ("saga", give_up_compensating, "i_sm_4"),
        ("tcc", confirm_becomes_cancel, "i_tcc_1"),
        ("tcc", succeed_too_early, "i_sm_4"),
        ("msg", ignore_the_delay, "not_before"),
        ("msg", a_message_fails, "i_dur_2"),
    ],
)
def test_a_wrong_plan_is_found(name: str, plan: Callable[[Snapshot], dtm.Decision], law: str) -> None:
    assert found(law, name, planned(PROTOCOLS[name], plan))


# Engine, service, store


def test_forgotten_doubt_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Row, "_mark_doubtful", lambda self: None)
    monkeypatch.setattr(row, "snapshot_of", _without_recovered(row.snapshot_of))
    assert found("i_sm_4", "saga")


def _without_recovered(snapshot_of: Callable[..., Snapshot]) -> Callable[..., Snapshot]:
    return lambda *arguments, **named: replace(snapshot_of(*arguments, **named), recovered=False)


def test_doubt_not_set_at_the_insert_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    insert = MemoryStore.insert
    monkeypatch.setattr(MemoryStore, "insert", lambda self, tx: insert(self, replace(tx, doubt=False)))
    assert found("i_sm_4", "saga")


def test_marking_started_after_the_send_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    start, land = Row.start, Row.land
    late: dict[tuple[int, object], int] = {}
    monkeypatch.setattr(Row, "start", lambda self, key, now: late.update({(id(self), key): now}))

    def land_and_mark(self: Row, landing: row.Landing, random: float) -> Branch:
        if (id(self), landing.key) in late:
            start(self, landing.key, late.pop((id(self), landing.key)))
        return land(self, landing, random)

    monkeypatch.setattr(Row, "land", land_and_mark)
    assert found("i_sm_4", "saga")


def test_a_final_move_with_a_call_in_flight_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flights, "__len__", lambda self: 0)
    assert found("i_sm_4", "saga")


def test_undoing_a_call_in_flight_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pass, "_withheld", lambda self, branch: False)
    assert found("i_comp_4", "saga")


def test_an_unfenced_write_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    save = MemoryStore.save

    async def save_anyway(self: MemoryStore, change: Save) -> int:
        stored = await self.load(change.tx.gid)
        assert stored is not None
        return await save(self, replace(change, expect=stored.version))

    monkeypatch.setattr(MemoryStore, "save", save_anyway)
    assert found("i_sm_1", "saga")


def test_a_lease_that_nobody_renews_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Passes, "renew", _nothing)
    monkeypatch.setattr(Custody, "may_begin", lambda self, timeout: True)
    monkeypatch.setattr(Node, "lease_for", lambda self, timeout: self.lease)
    monkeypatch.setattr("dtm.testing.simulator.LEASE", 0.3)
    assert found("i_comp_4", "saga")


def test_a_node_that_never_looks_at_its_rows_again_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Passes, "look", _nothing)
    monkeypatch.setattr("dtm.core.custody.CONFIRMED_FOR", 1e9)
    monkeypatch.setattr("dtm.testing.simulator.WRITE_BEHIND", 1e9)  # a lost compare-and-set would tell it, too
    assert found("i_comp_3", "saga", first=6000)  # it shows in one of ten thousand histories


async def _nothing(self: Passes) -> None:
    """Housekeeping that does not happen."""


def test_an_answer_that_changes_an_ended_branch_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def evolve_always(branch: Branch, outcome: dtm.Outcome, op: dtm.Op) -> Branch:
        return evolve(replace(branch, status=dtm.BranchStatus.PREPARED), outcome, op)

    def plan_again(snapshot: Snapshot) -> dtm.Decision:
        return SAGA.plan(snapshot)

    monkeypatch.setattr(row, "evolve", evolve_always)
    monkeypatch.setattr(Pass, "_own", lambda self, branch: self.row.get(branch.key))

    def call_all(snapshot: Snapshot) -> dtm.Decision:
        decision = plan_again(snapshot)
        if isinstance(decision, Call) and snapshot.status is Status.SUBMITTED:
            return replace(decision, branches=snapshot.op("action"))
        return decision

    assert found("i_sm_3", "saga", planned(SAGA, call_all))


def test_an_acknowledgement_before_the_commit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    create = Writer.create

    async def create_later(self: Writer, tx: object) -> object:
        self.later = asyncio.get_running_loop().create_task(create(self, tx))  # type: ignore[attr-defined]
        return tx

    monkeypatch.setattr(Writer, "create", create_later)
    assert found("i_dur_2", "saga")
