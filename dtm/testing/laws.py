"""The laws that every protocol must keep, over what clients, participants and the database saw."""

from __future__ import annotations

from collections.abc import Iterator

from dtm.core.lifecycle import MOVES
from dtm.core.model import BranchStatus, Key, Status
from dtm.core.node import CONFIRMED_FOR
from dtm.core.protocol import Protocol
from dtm.testing.history import Happening, History
from dtm.testing.law import Law
from dtm.testing.laws_of_plans import OF_PLANS

SLACK = 0.01
"""Seconds by which what one task has seen may lag behind another."""


def _only_permitted(history: History, protocol: Protocol) -> Iterator[str]:
    before, stopped = None, history.forced
    for row in history.of("row"):
        status = row.status
        assert status is not None
        forced = stopped and status is Status.FAILED and before not in (None, Status.SUCCEED)
        created = before is None and not status.final
        legal = created or forced or status is before or (before is not None and status in MOVES[before])
        if not legal:
            yield f"moved from {before} to {status}"
        before = status


def _leaves_once(history: History, protocol: Protocol) -> Iterator[str]:
    ended: dict[Key, BranchStatus] = {}
    for row in history.of("row"):
        for key, status in row.branches:
            if ended.get(key, status) is not status:
                yield f"{key} went from {ended[key]} to {status}"
            if status is not BranchStatus.PREPARED:
                ended[key] = status


def _whole(history: History, protocol: Protocol) -> Iterator[str]:
    before: set[Key] | None = None
    for row in history.of("row"):
        keys = {key for key, _ in row.branches}
        if before is not None and (not before <= keys or (protocol.register is None and before != keys)):
            yield f"branches changed from {sorted(before)} to {sorted(keys)}"
        before = keys


def _ends(history: History, protocol: Protocol) -> Iterator[str]:
    final = history.final
    if any(row.why for row in history.of("row")):
        return  # what the engine refuses never ends, and breaks another law
    if not history.quiet:
        yield "did not come to rest"
    elif final is not None and not final.status.final and final.status is not Status.PREPARED:
        yield f"rests as {final.status}, and nothing will ever wake it"


def _promised(history: History, protocol: Protocol) -> Iterator[str]:
    stored = {branch.branch_id for branch in history.final.branches} if history.final else set()
    for event in history.of("ok"):
        if history.final is None:
            yield f"{event.text} was acknowledged, but there is nothing"
        elif event.text == "register" and event.key and event.key[0] not in stored:
            yield f"the registration of {event.key[0]} was acknowledged, but it is not there"


def _all_undone(history: History, protocol: Protocol) -> Iterator[str]:
    final = history.final
    if final is None or final.status is not Status.FAILED or history.forced:
        return
    standing = {branch.key: branch for branch in final.branches}
    effects = {event.key for event in history.of("effect")}
    undoing = {op.undoes: name for name, op in protocol.ops.items() if op.undoes}
    for key in dict.fromkeys(event.key for event in history.of("request")):
        if key is None or key[1] not in undoing or standing[key].failed:
            continue
        undo = standing.get((key[0], undoing[key[1]]))
        if undo is None or not undo.succeeded or (undo.url and undo.key not in effects):
            yield f"failed, but {'/'.join(key)} may have run and was not undone"


def _only_what_ran(history: History, protocol: Protocol) -> Iterator[str]:
    doubt = False
    asked: set[Key] = set()
    for event in history.events:
        doubt = doubt or (event.kind == "claim" and event.text == "doubt")
        if event.kind != "request" or event.key is None:
            continue
        asked.add(event.key)
        undoes = _undoes(protocol, event.key)
        if undoes is not None and not doubt and undoes not in asked:
            yield f"{'/'.join(event.key)}, although {undoes[1]} never ran"


def _nothing_after(history: History, protocol: Protocol) -> Iterator[str]:
    succeeded = next((row for row in history.of("row") if row.status is Status.SUCCEED), None)
    for event in _forward_or_back(history, protocol, back=True):
        if succeeded is not None and event.at > succeeded.at + _slack(event, succeeded):
            yield f"{'/'.join(event.key or ())} at {event.at:.3f}, though it succeeded at {succeeded.at:.3f}"


def _no_way_forward(history: History, protocol: Protocol) -> Iterator[str]:
    decided = next((row for row in history.of("row") if row.status in (Status.ABORTING, Status.FAILED)), None)
    for event in _forward_or_back(history, protocol, back=False):
        if decided is not None and event.at > decided.at + _slack(event, decided):
            yield f"{'/'.join(event.key or ())} at {event.at:.3f}, though it was decided at {decided.at:.3f}"


def _stays_undone(history: History, protocol: Protocol) -> Iterator[str]:
    undone: dict[Key, Happening] = {}
    for event in history.of("request"):
        assert event.key is not None
        undoes = _undoes(protocol, event.key)
        if undoes is not None:
            undone.setdefault(undoes, event)
        elif (first := undone.get(event.key)) is not None and event.at > first.at + _slack(event, first):
            yield f"{'/'.join(event.key)} at {event.at:.3f}, though it was taken back at {first.at:.3f}"


def _forward_or_back(history: History, protocol: Protocol, *, back: bool) -> Iterator[Happening]:
    """The calls of operations that undo another, or of those that another undoes."""
    for event in history.of("request"):
        if event.key is not None:
            named = _undoes(protocol, event.key) is not None if back else event.key[1] in protocol.undoable
            if named:
                yield event


def _slack(event: Happening, decided: Happening) -> float:
    """Another node may not know for a second."""
    return SLACK if event.node == decided.node else CONFIRMED_FOR + SLACK


def _no_return(history: History, protocol: Protocol) -> Iterator[str]:
    """Only calls that were made while submitted count: what is called while aborting is the way back itself."""
    undoing = {name for name, op in protocol.ops.items() if op.undoes}
    status, gone = None, None
    for event in history.events:
        if event.kind == "row":
            status = event.status
            if gone and status in (Status.ABORTING, Status.FAILED) and not history.forced:
                yield f"{status} after {'/'.join(gone)} had been called, which nothing undoes"
                return
        elif event.kind == "request" and status is Status.SUBMITTED and event.key:
            op = event.key[1]
            if op in protocol.ops and op not in protocol.undoable and op not in undoing:
                gone = event.key


def _one_at_a_time(history: History, protocol: Protocol) -> Iterator[str]:
    jumped = any(history.of("jump"))
    flying: dict[Key, str] = {}
    for event in history.events:
        if event.kind == "crash":
            flying = {key: node for key, node in flying.items() if node != event.node}
        if event.key is None:
            continue
        if event.kind in ("reply", "lost") and flying.get(event.key) == event.node:
            del flying[event.key]
        if event.kind != "request":
            continue
        if event.key in flying and not jumped:
            yield f"{'/'.join(event.key)} called by {event.node} while {flying[event.key]} has it in flight"
        undoes = _undoes(protocol, event.key)
        if undoes is not None and flying.get(undoes) == event.node:
            yield f"{'/'.join(event.key)} while {undoes[1]} is in flight"
        flying[event.key] = event.node


def _undoes(protocol: Protocol, key: Key) -> Key | None:
    """The branch that this one takes back, if it does."""
    op = protocol.ops.get(key[1])
    return (key[0], op.undoes) if op is not None and op.undoes is not None else None


LAWS = (
    *OF_PLANS[:-1],
    Law("all-undone", "Every branch that may have run is undone before the transaction is failed.", _all_undone),
    Law("only-what-ran", "Nothing is undone that certainly never ran.", _only_what_ran),
    Law("nothing-after-success", "Nothing is undone after the transaction has succeeded.", _nothing_after),
    Law(
        "no-way-forward",
        "Once it was decided to go back, nothing begins that would have to be undone.",
        _no_way_forward,
    ),
    Law(
        "stays-undone",
        "What was taken back is not done again: its participant would agree, and do nothing.",
        _stays_undone,
    ),
    Law(
        "no-return",
        "Once something was called that nothing undoes, a submitted transaction never turns back.",
        _no_return,
    ),
    Law(
        "one-at-a-time",
        "No branch is called twice at once, and nothing is undone while its call is in flight.",
        _one_at_a_time,
    ),
    Law("only-permitted", "The status changes only as it may; a final one never does.", _only_permitted),
    Law("leaves-once", "A branch ends at most once.", _leaves_once),
    Law("whole", "No half transaction: branches never vanish, and appear only by being registered.", _whole),
    Law("promised", "What a client was told is there.", _promised),
    Law("ends", "Once the world is well again, everything comes to its end, whichever verb began it.", _ends),
    OF_PLANS[-1],
)
"""Those that every protocol must keep, the most telling first."""
