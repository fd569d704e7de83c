"""Helpers for plans: which of these branches may be called now. Pure functions over branches in stored order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from dtm.core.decisions import Call, Decision, Move, Wait
from dtm.core.model import Branch, Status
from dtm.core.snapshot import Snapshot

Graph = Mapping[str, Iterable[str]]
"""branch_id -> the branch_ids that must have succeeded before it."""


def all_succeeded(branches: Iterable[Branch]) -> bool:
    """Whether every one has succeeded (true for none)."""
    for branch in branches:  # noqa: SIM110 - every plan asks this, and a generator costs three times as much
        if not branch.succeeded:
            return False
    return True


def at_once(branches: Iterable[Branch]) -> tuple[Branch, ...]:
    """All that are still pending."""
    return tuple(branch for branch in branches if branch.pending)


def one_by_one(branches: Iterable[Branch]) -> tuple[Branch, ...]:
    """The first that has not succeeded, as a tuple of one; empty when it cannot be called, or when all are done."""
    for branch in branches:
        if not branch.succeeded:
            return (branch,) if branch.pending else ()
    return ()


def in_reverse(branches: Sequence[Branch]) -> tuple[Branch, ...]:
    """One by one, from the last to the first."""
    return one_by_one(reversed(branches))


def after(branches: Iterable[Branch], predecessors: Graph) -> tuple[Branch, ...]:
    """All pending ones whose predecessors have all succeeded.

    A predecessor that is not among `branches` is nothing to wait for.
    """
    branches = tuple(branches)
    open_ids = {branch.branch_id for branch in branches if not branch.succeeded}
    free = (branch for branch in branches if open_ids.isdisjoint(predecessors.get(branch.branch_id, ())))
    return at_once(free)


def undoing(snapshot: Snapshot, backward: str, forward: str) -> tuple[Branch, ...]:
    """The `backward` branches of all participants that may know of `forward`: all that a way back has to call.

    Whoever answered counts, one who refused too: an earlier call, whose answer was lost, may have taken effect.
    """
    knows = {b.branch_id for b in snapshot.op(forward) if not b.pending or snapshot.may_have_run(b)}
    return tuple(branch for branch in snapshot.op(backward) if branch.branch_id in knows)


def reversed_graph(predecessors: Graph) -> dict[str, set[str]]:
    """The same edges the other way round: who must be undone before whom."""
    result: dict[str, set[str]] = {node: set() for node in predecessors}
    for node, before in predecessors.items():
        for other in before:
            result.setdefault(other, set()).add(node)
    return result


def has_cycle(predecessors: Graph) -> bool:
    """Whether the graph cannot be put in any order."""
    try:
        TopologicalSorter(predecessors).prepare()
    except CycleError:
        return True
    return False


def timeout_reason(snapshot: Snapshot) -> str:
    """The reason a time-out leaves behind; prints the limit in effect, in whole seconds."""
    return f"Timeout after {int(snapshot.timeout or 0)} seconds"


def two_phase(
    forward: str, backward: str, order: Callable[[Sequence[Branch]], tuple[Branch, ...]]
) -> Callable[[Snapshot], Decision]:
    """The plan of every prepare/register/decide protocol.

    Prepared: wait for the decision, or abort at the deadline. Submitted: call all `forward` operations, then succeed.
    Aborting: call all `backward` operations, then fail. `order` picks what may be called now.
    """

    def plan(snapshot: Snapshot) -> Decision:
        if snapshot.status is Status.PREPARED:
            if snapshot.timed_out:
                return Move(Status.ABORTING, timeout_reason(snapshot))
            return Wait(snapshot.deadline)
        name, goal = (forward, Status.SUCCEED) if snapshot.status is Status.SUBMITTED else (backward, Status.FAILED)
        branches = snapshot.op(name)
        return Move(goal) if all_succeeded(branches) else Call(order(branches))

    return plan
