"""Protocols with a fault planted in each. All but the fault is copied from what is right."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime

import dtm
from dtm import Call, Move, Protocol, Snapshot, Status, Wait, ordering
from dtm.plugins import msg, saga, tcc
from dtm.testing import Law
from tests.properties import own_laws

SAGA, TCC, MSG = saga.PROTOCOL, tcc.PROTOCOL, msg.PROTOCOL
Plan = Callable[[Snapshot], dtm.Decision]


def planned(protocol: Protocol, plan: Plan) -> Protocol:
    """The same protocol with another plan."""
    return replace(protocol, plan=plan)


def ran(snapshot: Snapshot) -> list[dtm.Branch]:
    """The compensations of all actions that may have run."""
    ids = {b.branch_id for b in snapshot.op("action") if not b.pending or snapshot.may_have_run(b)}
    return [b for b in snapshot.op("compensate") if b.branch_id in ids]


def compensates_forwards(snapshot: Snapshot) -> dtm.Decision:
    decision = SAGA.plan(snapshot)
    if isinstance(decision, Call) and snapshot.status is Status.ABORTING:
        return Call(ordering.one_by_one(ran(snapshot)))
    return decision


def forgets_what_may_have_run(snapshot: Snapshot) -> dtm.Decision:
    if snapshot.status is not Status.ABORTING:
        return SAGA.plan(snapshot)
    ended = {b.branch_id for b in snapshot.op("action") if not b.pending}
    left = [b for b in snapshot.op("compensate") if b.branch_id in ended]
    return Call(ordering.in_reverse(left)) if not ordering.all_succeeded(left) else Move(Status.FAILED)


def compensates_everything(snapshot: Snapshot) -> dtm.Decision:
    left = snapshot.op("compensate")
    if snapshot.status is not Status.ABORTING:
        return SAGA.plan(snapshot)
    return Call(ordering.in_reverse(left)) if not ordering.all_succeeded(left) else Move(Status.FAILED)


def gives_up_compensating(snapshot: Snapshot) -> dtm.Decision:
    if snapshot.status is Status.ABORTING and any(b.attempts for b in snapshot.op("compensate")):
        return Move(Status.FAILED)
    return SAGA.plan(snapshot)


def goes_on_while_aborting(snapshot: Snapshot) -> dtm.Decision:
    if snapshot.status is Status.ABORTING and (left := ordering.at_once(snapshot.op("action"))):
        return Call(left)
    return SAGA.plan(snapshot)


def calls_what_has_succeeded(snapshot: Snapshot) -> dtm.Decision:
    decision = SAGA.plan(snapshot)
    if isinstance(decision, Call) and snapshot.status is Status.SUBMITTED:
        return replace(decision, branches=snapshot.op("action"))
    return decision


def calls_unknown_rows(snapshot: Snapshot) -> dtm.Decision:
    decision = SAGA.plan(snapshot)
    if isinstance(decision, Call) and snapshot.status is Status.ABORTING:
        return Call((*decision.branches, dtm.Branch("99", "compensate", "http://bank.example/undo")))
    return decision


def confirm_becomes_cancel(snapshot: Snapshot) -> dtm.Decision:
    if snapshot.status is Status.SUBMITTED and any(b.attempts for b in snapshot.op("confirm")):
        return Move(Status.ABORTING)
    return TCC.plan(snapshot)


def a_message_fails(snapshot: Snapshot) -> dtm.Decision:
    if snapshot.status is Status.SUBMITTED and any(b.attempts > 1 for b in snapshot.op("action")):
        return Move(Status.FAILED)
    return MSG.plan(snapshot)


def reads_a_clock(snapshot: Snapshot) -> dtm.Decision:
    if time.time() > 4e9:
        return Move(Status.ABORTING, "time is up")
    return SAGA.plan(snapshot)


def reads_the_date(snapshot: Snapshot) -> dtm.Decision:
    return SAGA.plan(snapshot) if datetime.now(UTC).year < 9999 else Wait()


def throws_dice(snapshot: Snapshot) -> dtm.Decision:
    decision = SAGA.plan(snapshot)
    return Wait(snapshot.now + 50) if isinstance(decision, Call) and random.random() < 0.2 else decision


def keeps_state() -> Plan:
    seen: Counter[str] = Counter()

    def plan(snapshot: Snapshot) -> dtm.Decision:
        seen[snapshot.gid] += 1
        decision = SAGA.plan(snapshot)
        if isinstance(decision, Call) and snapshot.status is Status.SUBMITTED and seen[snapshot.gid] % 7 == 3:
            return Wait(snapshot.now + 50)
        return decision

    return plan


def never_ends_on_ongoing(snapshot: Snapshot) -> dtm.Decision:
    waiting = [b for b in snapshot.branches if b.pending and b.started and not b.attempts]
    return Wait() if waiting and waiting[0].answered else SAGA.plan(snapshot)


def waits_for_ever(snapshot: Snapshot) -> dtm.Decision:
    if snapshot.status is Status.SUBMITTED and any(b.attempts for b in snapshot.op("action")):
        return Wait(snapshot.now + 1000)
    return SAGA.plan(snapshot)


def waits_for_the_past(snapshot: Snapshot) -> dtm.Decision:
    if snapshot.status is Status.PREPARED:
        return Wait(snapshot.deadline)
    return TCC.plan(snapshot)


def ignores_its_own_wait(snapshot: Snapshot) -> dtm.Decision:
    """Waits for three seconds, but only if asked at an even moment."""
    start = snapshot.created + 3000
    return Wait(start) if snapshot.now < start and snapshot.now % 2 == 0 else MSG.plan(snapshot)


def stumbles(snapshot: Snapshot) -> dtm.Decision:
    if any(b.failed for b in snapshot.branches) and snapshot.recovered:
        raise KeyError("whatever")
    return SAGA.plan(snapshot)


def has_no_answer(snapshot: Snapshot) -> dtm.Decision:
    decision = SAGA.plan(snapshot)
    return None if isinstance(decision, Move) and decision.status is Status.FAILED else decision  # type: ignore[return-value]


def skips_the_way_back(snapshot: Snapshot) -> dtm.Decision:
    decision = SAGA.plan(snapshot)
    if isinstance(decision, Move) and decision.status is Status.ABORTING:
        return Move(Status.FAILED)
    return decision


def undoes_before_success(snapshot: Snapshot) -> dtm.Decision:
    """Takes back what has not been done at all, and then succeeds."""
    if snapshot.status is Status.SUBMITTED and (left := ordering.one_by_one(snapshot.op("compensate"))):
        return Call(left)
    return SAGA.plan(snapshot)


def ignores_the_delay(snapshot: Snapshot) -> dtm.Decision:
    return MSG.plan(replace(snapshot, custom={}))


def all_actions_at_once(snapshot: Snapshot) -> dtm.Decision:
    decision = SAGA.plan(snapshot)
    if isinstance(decision, Call) and snapshot.status is Status.SUBMITTED:
        return replace(decision, branches=ordering.at_once(snapshot.op("action")))
    return decision


def succeeds_too_early(snapshot: Snapshot) -> dtm.Decision:
    if snapshot.status is Status.SUBMITTED and any(b.succeeded for b in snapshot.op("confirm")):
        return Move(Status.SUCCEED)
    return TCC.plan(snapshot)


def cancels_what_it_confirms(snapshot: Snapshot) -> dtm.Decision:
    if snapshot.status is Status.SUBMITTED and (left := ordering.at_once(snapshot.op("cancel"))):
        return Call(left)
    return TCC.plan(snapshot)


def registers_in_vain() -> Protocol:
    """What is registered while prepared is left out when there is one already."""

    def register(request: dtm.Request) -> Iterable[dtm.Branch]:
        return () if request.body["branch_id"] > "01" else tcc.register(request)

    return replace(TCC, register=register)


WRONG: dict[str, tuple[Protocol, str]] = {
    plan.__name__: (planned(protocol, plan), law)
    for protocol, plan, law in (
        (SAGA, compensates_forwards, "undone-in-reverse"),
        (SAGA, forgets_what_may_have_run, "all-undone"),
        (SAGA, compensates_everything, "only-what-ran"),
        (SAGA, gives_up_compensating, "all-undone"),
        (SAGA, goes_on_while_aborting, "never-forward-again"),
        (SAGA, calls_what_has_succeeded, "done-is-done"),
        (SAGA, calls_unknown_rows, "own-rows"),
        (TCC, confirm_becomes_cancel, "no-return"),
        (MSG, a_message_fails, "legal-moves"),
        (SAGA, reads_a_clock, "reads-nothing"),
        (SAGA, reads_the_date, "reads-nothing"),
        (SAGA, throws_dice, "reads-nothing"),
        (SAGA, never_ends_on_ongoing, "ends"),
        (SAGA, waits_for_ever, "ends"),
        (TCC, waits_for_the_past, "wait-kept"),
        (MSG, ignores_its_own_wait, "wait-kept"),
        (SAGA, stumbles, "total"),
        (SAGA, has_no_answer, "total"),
        (SAGA, skips_the_way_back, "legal-moves"),
        (SAGA, undoes_before_success, "only-what-ran"),
    )
}
WRONG["keeps_state"] = (planned(SAGA, keeps_state()), "pure")
WRONG["registers_in_vain"] = (registers_in_vain(), "promised")

WRONG_BY_ITSELF: dict[str, tuple[Protocol, tuple[Law, ...], str]] = {
    plan.__name__: (planned(protocol, plan), laws, law)
    for protocol, plan, laws, law in (
        (MSG, ignores_the_delay, own_laws.MSG, "action-not-before"),
        (SAGA, all_actions_at_once, own_laws.SAGA, "action-in-order"),
        (TCC, succeeds_too_early, own_laws.TCC, "needs-all-confirm"),
        (TCC, cancels_what_it_confirms, own_laws.TCC, "confirm-or-cancel"),
    )
}
"""Protocols that are sound as such, but not what they promise to be."""
