"""Checkers of what a history says of the coordinators, one function an invariant: each yields what breaks it.

They read what was seen from outside, never the product's word for it.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from tests.support.history import FINAL, TAG_BITS, History, Served, Transfer

Checker = Callable[[History], Iterator[str]]

CERTAIN = {400, 401, 403, 404, 405, 411, 413, 414, 415, 422, 431}
"""Answers that say: certainly not accepted."""

FORWARD = {"action", "confirm"}
MOVES = {
    ("", "prepared"), ("", "submitted"), ("prepared", "submitted"), ("prepared", "aborting"),
    ("prepared", "failed"), ("submitted", "succeed"), ("submitted", "aborting"), ("aborting", "failed"),
}  # fmt: skip
ONLY_OF = {("prepared", "failed"): {"msg"}, ("submitted", "aborting"): {"saga", "concurrent"}}
"""Moves that only some modes may make."""


# Acceptance and durability


def acknowledged_exists(h: History) -> Iterator[str]:
    """What was answered 200, or 425, or 409 with a status, is in the database."""
    for event in h.events:
        spoken_of = event.kind == "ok" or event.status == 425 or (event.status == 409 and "status" in event.reply)
        if spoken_of and event.gid not in h.rows:
            yield f"lost: {event}"


def acknowledged_ends(h: History) -> Iterator[str]:
    """Everything that is stored has ended, and nobody holds it any more."""
    for row in h.rows.values():
        if row.status not in FINAL or row.owner:
            yield f"{row.gid} is {row.status}, held by {row.owner!r}"


def refused_leaves_no_trace(h: History) -> Iterator[str]:
    """What was certainly not accepted is not there, and no participant ever saw it."""
    accepted = {event.gid for event in h.events if event.kind == "ok"}
    for gid in {event.gid for event in h.events if event.status in CERTAIN} - accepted:
        if gid in h.rows or gid in h.story or gid in h.of:
            yield f"{gid} was refused, and there are traces of it"


# The state machine


def moves_are_allowed(h: History) -> Iterator[str]:
    for change in h.changes:
        move = (change.before, change.after)
        mode = h.transfers[change.gid].mode
        if change.before != change.after and (move not in MOVES or mode not in ONLY_OF.get(move, {mode})):
            yield f"{mode} {change.gid} moved from {change.before} to {change.after}"


def the_end_is_the_end(h: History) -> Iterator[str]:
    """Once final, neither the status nor when, why and with what it ended ever changes. (An owner may still let go.)"""
    for gid, changes in h.story.items():
        ends = {
            (change.after, *change.ending) for change in changes if FINAL.intersection((change.before, change.after))
        }
        if len(ends) > 1:
            yield f"{gid} was changed after its end: {ends}"


def branches_end_once(h: History) -> Iterator[str]:
    """No branch that has succeeded or failed ever stands otherwise later."""
    for gid, changes in h.story.items():
        ended: dict[int, str] = {}
        for change in changes:
            for number, standing in enumerate(change.standings):
                status = standing.get("status", "prepared")
                if ended.setdefault(number, status) != status:
                    yield f"{gid}: {h.rows[gid].branches[number]} was {ended[number]} and became {status}"
                if ended[number] == "prepared":
                    del ended[number]


def the_end_agrees_with_the_branches(h: History) -> Iterator[str]:
    """Success: all forward branches succeeded. Failure: what undoes each call that was seen has succeeded."""
    for gid, changes in h.story.items():
        if gid not in h.rows:
            continue
        keys = h.rows[gid].branches
        standings = changes[-1].standings or [{}] * len(keys)
        stands = {key: each.get("status", "prepared") for key, each in zip(keys, standings, strict=True)}
        if h.status(gid) == "succeed":
            wrong = [key for key, status in stands.items() if key[1] in FORWARD and status != "succeed"]
        else:
            seen = {call.branch_id for call in h.of.get(gid, ()) if call.op == "action"}
            wrong = [key for key, at in stands.items() if key[1] == "compensate" and key[0] in seen and at != "succeed"]
        if wrong:
            yield f"{gid} is {h.status(gid)}, but {wrong} did not succeed"


# Sagas


def steps_in_their_turn(h: History) -> Iterator[str]:
    """An action is first called after those before it have answered success; compensations the other way round."""
    for gid, transfer in _sagas(h):
        for before, after in _ordered(transfer):
            if (first := _first(h, gid, after, "action")) and first < _succeeded(h, gid, before, "action"):
                yield f"{gid}: action {after} before {before} had succeeded"
            undone = _first(h, gid, before, "compensate")
            if undone and _first(h, gid, after, "compensate") and undone < _succeeded(h, gid, after, "compensate"):
                yield f"{gid}: compensation of {before} before that of {after} had succeeded"


def what_ran_is_undone(h: History) -> Iterator[str]:
    """Every action that was seen, of a saga that failed, is compensated until that answers success."""
    for gid, _ in _sagas(h):
        if h.status(gid) == "failed":
            for branch_id in {call.branch_id for call in h.of.get(gid, ()) if call.op == "action"}:
                if _succeeded(h, gid, branch_id, "compensate") == NEVER:
                    yield f"{gid}: {branch_id} ran and was never undone"


def no_needless_undoing(h: History) -> Iterator[str]:
    """No compensation after success; none of what was never called, unless it was taken over in doubt."""
    for gid, _ in _sagas(h):
        calls = h.of.get(gid, ())
        undone = {call.branch_id for call in calls if call.op == "compensate"}
        if undone and h.status(gid) == "succeed":
            yield f"{gid} succeeded, but {undone} were compensated"
        never = undone - {call.branch_id for call in calls if call.op == "action"}
        if never and not any(change.claimed_doubt for change in h.story[gid]):
            yield f"{gid}: {never} were compensated, but never called, and there was no doubt"


def no_action_after_the_decision(h: History) -> Iterator[str]:
    """No action carries an epoch as late as the decision to go back. (One begun before it may still arrive later.)"""
    for gid, _ in _sagas(h):
        decisions = (change.version for change in h.story.get(gid, ()) if change.after != "submitted")
        decided = next(decisions, 0) >> TAG_BITS
        for call in h.of.get(gid, ()):
            if decided and call.op == "action" and call.epoch >= decided:
                yield f"{gid}: action {call.branch_id} of epoch {call.epoch}, decided at {decided}"
            if call.op == "compensate" and call.epoch < decided:
                yield f"{gid}: compensation {call.branch_id} of epoch {call.epoch}, decided at {decided}"


# TCC and messages


def confirm_or_cancel(h: History) -> Iterator[str]:
    """Every registered branch hears the one that was decided, until it answers success, and never the other."""
    for gid, row in h.rows.items():
        if h.transfers[gid].mode != "tcc":
            continue
        wanted, unwanted = ("confirm", "cancel") if row.status == "succeed" else ("cancel", "confirm")
        for branch_id in {branch_id for branch_id, _ in row.branches}:
            if _succeeded(h, gid, branch_id, wanted) == NEVER:
                yield f"{gid}: {branch_id} was never told to {wanted}"
            if _first(h, gid, branch_id, unwanted):
                yield f"{gid}: {branch_id} was told to {unwanted}, although it is {row.status}"


def registered_is_driven(h: History) -> Iterator[str]:
    """A registration that was answered 200 is in the row."""
    registered = Counter(event.gid for event in h.events if event.verb == "registerBranch" and event.kind == "ok")
    for gid, number in registered.items():
        stored = {branch_id for branch_id, _ in h.rows[gid].branches} if gid in h.rows else set()
        if len(stored) < number:
            yield f"{gid}: {number} branches were registered, {sorted(stored)} are there"


def delivered_if_committed(h: History) -> Iterator[str]:
    """The local transaction of a message took place if, and only if, all its actions did."""
    for gid, transfer in h.transfers.items():
        if transfer.mode == "msg":
            done = {entry.branch_id for entry in h.effects.get(gid, ())}
            if done not in (set(), set(transfer.branch_ids)):
                yield f"{gid}: only {sorted(done)} took place"


# Leases


def every_write_is_fenced(h: History) -> Iterator[str]:
    """Each change of a row starts from the version that the one before it left, and leaves a higher one."""
    for gid, changes in h.story.items():
        last = 0
        for change in changes:
            if change.expected != last or change.version >> TAG_BITS <= last >> TAG_BITS:
                yield f"{gid}: from version {change.expected} to {change.version}, where {last} was"
            last = change.version


def one_call_at_a_time(h: History) -> Iterator[str]:
    """The same call is under way twice at a time only where one node took over from another."""
    for gid, calls in h.of.items():
        for key, same in _by_branch(calls).items():
            for call, following in itertools.pairwise(same):
                if following.began < call.ended and not h.take_overs(gid):
                    yield f"{gid}: {key} was called while it was being called"


def stale_calls_are_few(h: History) -> Iterator[str]:
    """At most one stale call per branch and take-over: one that comes with a lower epoch than the same call before."""
    for gid, calls in h.of.items():
        for key, same in _by_branch(calls).items():
            stale = sum(call.epoch < max(c.epoch for c in same[: n + 1]) for n, call in enumerate(same))
            if stale > len(h.take_overs(gid)):
                yield f"{gid}: {key} got {stale} stale calls, take-overs {len(h.take_overs(gid))}"


def calls_once(h: History) -> Iterator[str]:
    """Only for a run without faults: each branch is called exactly once, and nothing is taken over."""
    for gid, calls in h.of.items():
        for key, same in _by_branch(calls).items():
            if len(same) > 1:
                yield f"{gid}: {key} was called {len(same)} times"
    for change in h.changes:
        if change.taken_over:
            yield f"{change.gid} was taken over"


CHECKERS: dict[str, Checker] = {
    "I-DUR-1": acknowledged_exists, "I-DUR-2": acknowledged_ends, "I-DUR-3": refused_leaves_no_trace,
    "I-SM-1": moves_are_allowed, "I-SM-2": the_end_is_the_end, "I-SM-3": branches_end_once,
    "I-SM-4": the_end_agrees_with_the_branches, "I-SAGA": steps_in_their_turn, "I-COMP-1": what_ran_is_undone,
    "I-COMP-2": no_needless_undoing, "I-COMP-3": no_action_after_the_decision, "I-TCC-1": confirm_or_cancel,
    "I-REG-1": registered_is_driven, "I-MSG-1": delivered_if_committed, "I-LEASE-1": every_write_is_fenced,
    "I-LEASE-2": one_call_at_a_time, "I-LEASE-3": stale_calls_are_few,
}  # fmt: skip

NEVER = float("inf")


def _sagas(h: History) -> Iterator[tuple[str, Transfer]]:
    for gid, transfer in h.transfers.items():
        if transfer.mode in ("saga", "concurrent"):
            yield gid, transfer


def _ordered(transfer: Transfer) -> list[tuple[str, str]]:
    """(before, after): of a sequential saga each step and the next one, of a concurrent one each and the last."""
    ids = transfer.branch_ids
    if transfer.mode == "concurrent":
        return [(branch_id, ids[-1]) for branch_id in ids[:-1]]
    return list(itertools.pairwise(ids))


def _first(h: History, gid: str, branch_id: str, op: str) -> int:
    """When it was first called; 0 when it never was."""
    calls = h.of.get(gid, ())
    return next((call.began for call in calls if (call.branch_id, call.op) == (branch_id, op)), 0)


def _succeeded(h: History, gid: str, branch_id: str, op: str) -> float:
    """When it first answered success."""
    ends = [c.ended for c in h.of.get(gid, ()) if (c.branch_id, c.op) == (branch_id, op) and c.status == 200]
    return min(ends, default=NEVER)


def _by_branch(calls: list[Served]) -> dict[tuple[str, str], list[Served]]:
    groups: defaultdict[tuple[str, str], list[Served]] = defaultdict(list)
    for call in calls:
        groups[call.branch_id, call.op].append(call)
    return groups
