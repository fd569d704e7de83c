"""Laws of what a plan says: checked on every snapshot that it was shown and on every decision that it took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from dtm.core.decisions import Ask, Call, Decision, Move, Wait
from dtm.core.lifecycle import MOVES, adds
from dtm.core.model import Status
from dtm.core.protocol import Protocol
from dtm.testing.history import History
from dtm.testing.law import Law
from dtm.testing.spy import forbidden_calls


def _total(history: History, protocol: Protocol) -> Iterator[str]:
    for planned in history.plans:
        if planned.error:
            yield f"the plan raised {planned.error}"
        elif not isinstance(planned.decision, Call | Ask | Move | Wait):
            yield f"the plan returned {planned.decision!r}, which is no decision"
    for row in history.of("row"):
        if row.why:
            yield f"the engine refused the plan: {row.why}"


def _own_rows(history: History, protocol: Protocol) -> Iterator[str]:
    for planned in history.plans:
        if isinstance(planned.decision, Call):
            known = {branch.key for branch in planned.snapshot.branches}
            for branch in planned.decision.branches:
                key = getattr(branch, "key", None)
                if key not in known:
                    yield f"calls {key or branch!r}, which is no branch of the transaction"


def _done_is_done(history: History, protocol: Protocol) -> Iterator[str]:
    for planned in history.plans:
        if isinstance(planned.decision, Call):
            ended = {branch.key: branch.status for branch in planned.snapshot.branches if not branch.pending}
            for branch in planned.decision.branches:
                key = getattr(branch, "key", None)
                if key in ended:
                    yield f"calls {key}, which has {ended[key]} already"


def _legal_moves(history: History, protocol: Protocol) -> Iterator[str]:
    for planned in history.plans:
        move, snapshot = planned.decision, planned.snapshot
        if not isinstance(move, Move) or move.status in MOVES[snapshot.status]:
            continue
        if not adds(snapshot.status, snapshot.result, move.status, move.result):
            yield f"moves from {snapshot.status} to {move.status}"


def _never_forward_again(history: History, protocol: Protocol) -> Iterator[str]:
    for planned in history.plans:
        if isinstance(planned.decision, Call) and planned.snapshot.status is Status.ABORTING:
            for branch in planned.decision.branches:
                if getattr(branch, "op", None) in protocol.undoable:
                    yield f"calls {'/'.join(branch.key)} while aborting, although another operation undoes it"


def _wait_kept(history: History, protocol: Protocol) -> Iterator[str]:
    """A plan that waits until some moment would say so up to that moment, and something else from then on."""
    for planned in history.plans:
        decision, snapshot = planned.decision, planned.snapshot
        if not isinstance(decision, Wait) or decision.until is None or snapshot.status.final:
            continue
        if decision.until <= snapshot.now:
            yield f"waits for a moment that has passed: {decision.until}, now {snapshot.now}"
            continue
        before, after = (_plan(protocol, replace(snapshot, now=now)) for now in (decision.until - 1, decision.until))
        if not isinstance(before, Wait):
            wait = decision.until - snapshot.now
            yield f"waits for {wait} ms, but asked a moment before they are over it would say {_said(before)}"
        if isinstance(after, Wait) and after.until is not None and after.until <= decision.until:
            yield f"still waits for {decision.until} when that moment has come"


def _pure(history: History, protocol: Protocol) -> Iterator[str]:
    """Asked again, in another order, it says the same."""
    for planned in reversed(history.plans):
        if not planned.error and (again := _plan(protocol, planned.snapshot)) != planned.decision:
            yield f"said {_said(planned.decision)}, and later, of an equal snapshot, {_said(again)}"
            return


def _reads_nothing(history: History, protocol: Protocol) -> Iterator[str]:
    seen = set()
    for planned in history.plans:
        snapshot = planned.snapshot
        look = (snapshot.status, snapshot.recovered, type(planned.decision), *(b.status for b in snapshot.branches))
        if not planned.error and look not in seen:
            seen.add(look)
            for name in forbidden_calls(partial(protocol.plan, snapshot)):
                yield f"the plan calls {name}"


def _plan(protocol: Protocol, snapshot: object) -> Decision | Exception:
    try:
        return protocol.plan(snapshot)  # type: ignore[arg-type]
    except Exception as error:
        return error


def _said(decision: object) -> str:
    """A decision in few words."""
    match decision:
        case Call(branches):
            names = ", ".join("/".join(getattr(branch, "key", ("?",))) for branch in branches)
            return f"Call({names})"
        case Move(status):
            return f"Move({status})"
        case Wait(until):
            return f"Wait({until})"
        case Ask(op):
            return f"Ask({op})"
    return repr(decision)


OF_PLANS = (
    Law("own-rows", "A plan calls branches of its own transaction, and no others.", _own_rows),
    Law("done-is-done", "A branch that has ended is never called again.", _done_is_done),
    Law("legal-moves", "A plan moves only where the status may lead, and never out of a final one.", _legal_moves),
    Law(
        "never-forward-again",
        "After the decision to go back nothing is called that would have to be undone.",
        _never_forward_again,
    ),
    Law("wait-kept", "Until the moment for which a plan waits it goes on waiting; then it does something.", _wait_kept),
    Law(
        "reads-nothing",
        "A plan reads no clock, no chance, no file and no network: all it may know is in the snapshot.",
        _reads_nothing,
        rarely=True,
    ),
    Law("pure", "A plan depends on its snapshot alone: asked again, in another order, it says the same.", _pure),
    Law("total", "A plan has a decision that can be carried out for every snapshot that can be reached.", _total),
)
