"""Checkers of the invariants over recorded histories: each reads what clients, participants and the database saw.

Every checker yields sentences; no sentence means that the law held. Names are those of the invariants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dtm import BranchStatus, Protocol, Status
from dtm.core.node import CONFIRMED_FOR
from dtm.testing.history import Happening, History

Law = Callable[[History, Protocol], Iterator[str]]

EDGES = {
    (None, Status.PREPARED),
    (None, Status.SUBMITTED),
    (Status.PREPARED, Status.SUBMITTED),
    (Status.PREPARED, Status.ABORTING),
    (Status.PREPARED, Status.FAILED),
    (Status.SUBMITTED, Status.SUCCEED),
    (Status.SUBMITTED, Status.ABORTING),
    (Status.ABORTING, Status.FAILED),
}

GOALS = {"action", "confirm", "commit"}
"""The operations of the way forward: success needs every one of them."""


def _forced(history: History) -> bool:
    return any(row.text == "force stopped" for row in history.of("row"))


def i_sm_1(history: History, protocol: Protocol) -> Iterator[str]:
    """Only the permitted transitions; a final status never changes (I-SM-2)."""
    before = None
    for row in history.of("row"):
        operator = row.text == "force stopped" and row.status is Status.FAILED and before not in (None, Status.SUCCEED)
        if row.status is not before and (before, row.status) not in EDGES and not operator:
            yield f"moved from {before} to {row.status}"
        before = row.status


def i_sm_3(history: History, protocol: Protocol) -> Iterator[str]:
    """A branch leaves prepared at most once."""
    ended: dict[tuple[str, str], BranchStatus] = {}
    for row in history.of("row"):
        for key, status in row.branches:
            if ended.get(key, status) is not status:
                yield f"{key} went from {ended[key]} to {status}"
            if status is not BranchStatus.PREPARED:
                ended[key] = status


def i_sm_4(history: History, protocol: Protocol) -> Iterator[str]:
    """Succeed: every forward branch took effect. Failed: all that may have run was undone, successfully (I-COMP-1)."""
    final = history.final
    if final is None or not final.status.final or _forced(history):
        return
    backward = {name for name, op in protocol.ops.items() if op.undoes}
    standing = {branch.key: branch for branch in final.branches}
    effects = {event.key for event in history.of("effect")}
    if final.status is Status.SUCCEED:
        for branch in (branch for branch in final.branches if branch.op in GOALS):
            if not branch.succeeded or (branch.url and branch.key not in effects):
                yield f"succeeded without {branch.key}"
        return
    for event in history.of("request"):
        for name in backward:
            if event.key is not None and protocol.ops[name].undoes == event.key[1]:
                undo = standing.get((event.key[0], name))
                if undo is None or not undo.succeeded or (undo.url and undo.key not in effects):
                    yield f"failed, but {event.key} may have run and was not undone"


def i_dur_2(history: History, protocol: Protocol) -> Iterator[str]:
    """Every acknowledged submit ends, and everything comes to rest."""
    if not history.quiet:
        yield "did not come to rest"
    accepted = any(event.text == "submit" for event in history.of("ok"))
    if accepted and (history.final is None or not history.final.status.final):
        yield "an acknowledged submit has not ended"


def i_dur_7(history: History, protocol: Protocol) -> Iterator[str]:
    """No half transaction: branches never vanish; without a register they never appear late either."""
    before: set[tuple[str, str]] | None = None
    for row in history.of("row"):
        keys = {key for key, _ in row.branches}
        if before is not None and (not before <= keys or (protocol.register is None and before != keys)):
            yield f"branches changed from {sorted(before)} to {sorted(keys)}"
        before = keys


def i_comp_2(history: History, protocol: Protocol) -> Iterator[str]:
    """Nothing is undone unless it may have run (or a claim was in doubt), and never before the decision to go back."""
    decided = False
    doubt = False
    asked: set[tuple[str, str]] = set()
    for event in history.events:
        decided = decided or (event.kind == "row" and event.status is Status.ABORTING)
        doubt = doubt or (event.kind == "claim" and event.text == "doubt")
        if event.kind != "request" or event.key is None:
            continue
        asked.add(event.key)
        undoes = protocol.ops[event.key[1]].undoes if event.key[1] in protocol.ops else None
        if undoes is not None and not decided:
            yield f"{event.key} before the decision to go back"
        if undoes is not None and not doubt and (event.key[0], undoes) not in asked:
            yield f"{event.key}, although {undoes} never ran"


def i_comp_3(history: History, protocol: Protocol) -> Iterator[str]:
    """No forward call begins after the decision to go back, but by another node within its second of not knowing."""
    decided: Happening | None = None
    for event in history.events:
        if decided is None and event.kind == "row" and event.status in (Status.ABORTING, Status.FAILED):
            decided = event
        if decided is None or event.kind != "request" or event.key is None:
            continue
        slack = 0.01 if event.node == decided.node else CONFIRMED_FOR + 0.01
        if event.key[1] in protocol.undoable and event.at > decided.at + slack:
            yield f"{event.key} at {event.at}, though decided at {decided.at}"


def i_comp_4(history: History, protocol: Protocol) -> Iterator[str]:
    """Nothing is undone while the same node has its call in flight; no two calls of one branch at once (I-LEASE-2)."""
    flying: dict[tuple[str, str], str] = {}
    for event in history.events:
        if event.kind == "crash":
            flying = {key: node for key, node in flying.items() if node != event.node}
        if event.key is None:
            continue
        if event.kind in ("reply", "lost") and flying.get(event.key) == event.node:
            del flying[event.key]
        if event.kind != "request":
            continue
        if event.key in flying:
            yield f"{event.key} called by {event.node} while {flying[event.key]} has it in flight"
        undoes = protocol.ops[event.key[1]].undoes if event.key[1] in protocol.ops else None
        if undoes is not None and flying.get((event.key[0], undoes)) == event.node:
            yield f"{event.key} while {undoes} is in flight"
        flying[event.key] = event.node


def _first(history: History, kind: str, text: str = "") -> dict[tuple[str, str], int]:
    """Position of each branch's first event of a kind."""
    found: dict[tuple[str, str], int] = {}
    for position, event in enumerate(history.events):
        if event.kind == kind and event.key is not None and (not text or event.text == text):
            found.setdefault(event.key, position)
    return found


def ordered(op: str, before: Callable[[str, str], bool], *, real: str = "") -> Law:
    """A law: where before(a, b), the first call of (b, op) comes after (a, op) answered success, if both are called.

    real: look only at branches of which this operation was called as well: undoing what never ran has no order.
    """

    def law(history: History, protocol: Protocol) -> Iterator[str]:
        asked, done = _first(history, "request"), _first(history, "reply", "success")
        ids = [branch_id for branch_id, name in asked if name == op and (not real or (branch_id, real) in asked)]
        for first in ids:
            for then in ids:
                key, other = (first, op), (then, op)
                if before(first, then) and not done.get(key, len(history.events)) < asked[other]:
                    yield f"{other} was called before {key} had answered"

    return law


def i_tcc_1(history: History, protocol: Protocol) -> Iterator[str]:
    """Exactly one of the two ways is gone, once it was decided; every acknowledged branch goes it (I-REG-1)."""
    forward = next(name for name in protocol.ops if name in GOALS)
    backward = next(name for name in protocol.ops if name not in GOALS)
    ways = {event.key[1] for event in history.of("request") if event.key}
    if len(ways) > 1:
        yield f"both ways were gone: {sorted(ways)}"
    decided = None
    for event in history.events:
        if event.kind == "row" and event.status in (Status.SUBMITTED, Status.ABORTING):
            decided = decided or event.status
        if event.kind == "request" and decided is None:
            yield f"{event.key} before the decision"
    final = history.final
    registered = {event.key[0] for event in history.of("ok") if event.text == "register" and event.key}
    if final is not None and not registered <= {branch.branch_id for branch in final.branches}:
        yield f"the registrations of {sorted(registered)} were acknowledged, but not all of them are there"
    if final is not None and final.status.final and not _forced(history):
        goal = forward if final.status is Status.SUCCEED else backward
        for branch in final.branches:
            if branch.op == goal and not branch.succeeded:
                yield f"{final.status} without {branch.key}"


def i_msg_1(history: History, protocol: Protocol) -> Iterator[str]:
    """Delivered if and only if it was decided: no call before the submit, all of them after it."""
    submitted = False
    for event in history.events:
        submitted = submitted or (event.kind == "row" and event.status is Status.SUBMITTED)
        if event.kind == "request" and event.key and event.key[1] == "action" and not submitted:
            yield f"{event.key} before the submit"
    if submitted and history.final is not None and history.final.status is Status.FAILED and not _forced(history):
        yield "a submitted message failed"


def not_before(delay: float) -> Law:
    """A law: a message is not delivered before its delay, counted from its creation, has passed (I-MSG-2).

    It is created a moment before its row is committed, hence the hundredth of a second.
    """

    def not_before(history: History, protocol: Protocol) -> Iterator[str]:
        created = next((row.at for row in history.of("row")), 0.0)
        for event in history.of("request"):
            if event.key and event.key[1] == "action" and event.at < created + delay - 0.01:
                yield f"{event.key} at {event.at}, created at {created}, delay {delay}"

    return not_before


COMMON: tuple[Law, ...] = (i_sm_1, i_sm_3, i_sm_4, i_dur_2, i_dur_7, i_comp_2, i_comp_3, i_comp_4)


def broken(history: History, protocol: Protocol, *more: Law) -> list[str]:
    """All sentences, with the law that each comes from."""
    laws = (*COMMON, *more)
    return [f"{law.__name__}: {sentence}" for law in laws for sentence in law(history, protocol)]
