"""Faults planted in engine, service and store: the laws must find every one of them, or they are no laws."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

import dtm
from dtm import Call, Protocol, Snapshot, Status
from dtm.core import model, row
from dtm.core.custody import Custody
from dtm.core.engine import Pass
from dtm.core.flights import Flights
from dtm.core.model import Branch, Transaction, evolve
from dtm.core.node import Node
from dtm.core.passes import Passes
from dtm.core.row import Row
from dtm.core.service.writing import Writer
from dtm.core.store.base import Save
from dtm.core.store.memory import MemoryStore
from dtm.plugins.saga import PROTOCOL as SAGA
from dtm.plugins.xa import PROTOCOL as XA
from dtm.testing import LAWS, Faults, simulate
from dtm.testing.examine import Examiner
from dtm.testing.requests import examples

HISTORIES = 3000


def found(law: str, protocol: Protocol = SAGA) -> bool:
    """Whether this law finds the fault in one of the histories."""
    examiner = Examiner(protocol, examples(protocol))
    work = sorted(examiner.work(HISTORIES, 0), key=lambda piece: piece.seeds is None)  # what comes by chance first
    return any(broken.law == law for piece in work for broken in examiner.examined(piece).broken)


def test_forgotten_doubt_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Row, "_mark_doubtful", lambda self: None)
    monkeypatch.setattr(row, "snapshot_of", _without_recovered(row.snapshot_of))
    assert found("all-undone")


def _without_recovered(snapshot_of: Callable[..., Snapshot]) -> Callable[..., Snapshot]:
    return lambda *arguments, **named: replace(snapshot_of(*arguments, **named), recovered=False)


def test_doubt_not_set_at_the_insert_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    insert = MemoryStore.insert
    monkeypatch.setattr(MemoryStore, "insert", lambda self, tx: insert(self, replace(tx, doubt=False)))
    assert found("all-undone")


def test_marking_started_after_the_send_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    start, land = Row.start, Row.land
    late: dict[tuple[int, object], int] = {}
    monkeypatch.setattr(Row, "start", lambda self, key, now: late.update({(id(self), key): now}))

    def land_and_mark(self: Row, landing: row.Landing, random: float) -> Branch:
        if (id(self), landing.key) in late:
            start(self, landing.key, late.pop((id(self), landing.key)))
        return land(self, landing, random)

    monkeypatch.setattr(Row, "land", land_and_mark)
    assert found("all-undone")


def test_a_final_move_with_a_call_in_flight_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flights, "__len__", lambda self: 0)
    assert found("all-undone")


def test_undoing_a_call_in_flight_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pass, "_withheld", lambda self, branch: False)
    assert found("one-at-a-time")


def test_an_unfenced_write_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    save = MemoryStore.save

    async def save_anyway(self: MemoryStore, change: Save) -> int:
        stored = await self.load(change.tx.gid)
        assert stored is not None
        return await save(self, replace(change, expect=stored.version))

    monkeypatch.setattr(MemoryStore, "save", save_anyway)
    assert found("only-permitted")


def test_a_lease_that_nobody_renews_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Passes, "renew", _nothing)
    monkeypatch.setattr(Custody, "may_begin", lambda self, timeout, boot: True)
    monkeypatch.setattr(Node, "lease_for", lambda self, timeout: self.lease)
    monkeypatch.setattr("dtm.testing.nodes.LEASE", 0.3)
    assert found("one-at-a-time")


def test_a_node_that_never_looks_at_its_rows_again_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Passes, "look", _nothing)
    monkeypatch.setattr("dtm.core.custody.CONFIRMED_FOR", 1e9)
    monkeypatch.setattr("dtm.testing.nodes.WRITE_BEHIND", 1e9)  # a lost compare-and-set would tell it, too
    assert found("no-way-forward")


async def _nothing(self: Passes) -> None:
    """Housekeeping that does not happen."""


def test_an_answer_that_changes_an_ended_branch_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def evolve_always(branch: Branch, outcome: dtm.Outcome, op: dtm.Op) -> tuple[dtm.BranchStatus, int]:
        return evolve(replace(branch, status=dtm.BranchStatus.PREPARED), outcome, op)

    def plan_again(snapshot: Snapshot) -> dtm.Decision:
        return SAGA.plan(snapshot)

    monkeypatch.setattr(model, "evolve", evolve_always)
    monkeypatch.setattr(Pass, "_own", lambda self, branch: (branch.key, self.row.get(branch.key)))

    def call_all(snapshot: Snapshot) -> dtm.Decision:
        decision = plan_again(snapshot)
        if isinstance(decision, Call) and snapshot.status is Status.SUBMITTED:
            return replace(decision, branches=snapshot.op("action"))
        return decision

    assert found("leaves-once", replace(SAGA, plan=call_all))


def test_an_acknowledgement_before_the_commit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    create = Writer.create

    async def create_later(self: Writer, tx: object) -> object:
        self.later = asyncio.get_running_loop().create_task(create(self, tx))  # type: ignore[attr-defined]
        return tx

    monkeypatch.setattr(Writer, "create", create_later)
    assert found("promised")


def aborted_among_wishes() -> Iterator[str]:
    """How "no-way-forward" is broken when somebody aborts while calls wait to begin."""
    (law,) = [law for law in LAWS if law.name == "no-way-forward"]
    step = {"action": "http://bank/do", "compensate": "http://bank/undo"}
    body = {"steps": [step] * 4, "payloads": ["{}"] * 4, "custom_data": '{"concurrent": true}'}
    for seed in range(4):
        for point in range(simulate(SAGA, body, seed=seed, faults=Faults()).points):
            history = simulate(SAGA, body, seed=seed, faults=Faults(strikes={point: "abort"}))
            yield from law.broken_by(history, SAGA)


def test_a_call_that_begins_before_the_plan_has_seen_a_change_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The row has been read again, and the pass is busy with a renewal or a save: what waited must not begin."""
    settle = Custody.settle

    async def settle_at_leisure(self: Custody) -> None:
        changed = self.changed
        await settle(self)
        if changed:
            await asyncio.sleep(0.1)

    monkeypatch.setattr(Custody, "settle", settle_at_leisure)
    assert list(aborted_among_wishes()) == []
    monkeypatch.setattr(Flights, "keep_only", lambda self, wanted: None)
    assert list(aborted_among_wishes())


def test_a_stale_hand_over_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def go_on_with(self: Custody, tx: Transaction, lease_end: float) -> bool:
        self.token, self.lease_end, self.changed = tx.owner, lease_end, True
        self._bell.ring()
        return True

    monkeypatch.setattr(Custody, "handed_over", go_on_with)
    assert found("one-at-a-time", XA)
