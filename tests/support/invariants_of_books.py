"""Checkers of what a recorded history says of the money: the bank's invariants, and all checkers together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.support import invariants
from tests.support.history import History

UNDOES = {"compensate": "action", "cancel": "try"}


def check(history: History) -> list[str]:
    """Everything that is wrong with it, each line with the name of its invariant."""
    return [f"{name}: {line}" for name, checker in CHECKERS.items() for line in checker(history)]


def money_is_constant(h: History) -> Iterator[str]:
    total, opening = sum(account.balance for account in h.accounts), sum(h.opening.values())
    if total != opening:
        yield f"there were {opening}, now there are {total}"


def accounts_are_sound(h: History) -> Iterator[str]:
    """The same accounts as before, none negative, nothing frozen, each as its entries say."""
    stands = {(account.bank, account.name): account for account in h.accounts}
    if stands.keys() != h.opening.keys():
        yield f"other accounts than before: {sorted(stands.keys() ^ h.opening.keys())}"
    moved: Counter[tuple[str, str]] = Counter()
    for entry in h.entries:
        moved[entry.bank, entry.account] += entry.balance
    for key, account in stands.items():
        if account.balance < 0 or account.frozen:
            yield f"{account}"
        if account.balance != h.opening.get(key, 0) + moved[key]:
            yield f"{account}, but its entries say {h.opening.get(key, 0) + moved[key]}"


def all_or_nothing(h: History) -> Iterator[str]:
    """The effects of each transfer are those that were asked for if it succeeded, else they come to nothing."""
    for gid, transfer in h.transfers.items():
        got: Counter[tuple[str, str, str]] = Counter()
        for entry in h.effects.get(gid, ()):
            got[entry.bank, entry.branch_id, entry.account] += entry.balance
        wanted = {}
        if h.status(gid) == "succeed":
            legs = zip(transfer.branch_ids, transfer.legs, strict=True)
            wanted = {(h.banks[leg.bank], branch_id, leg.account): leg.change for branch_id, leg in legs}
        if {key: change for key, change in got.items() if change} != wanted:
            yield f"{transfer.mode} {gid} is {h.status(gid) or 'not there'}, and its effects are {dict(got)}"


def effects_are_barred(h: History) -> Iterator[str]:
    """Each call that the barrier let through has one entry, and no other call has one."""
    entries = Counter((entry.bank, entry.gid, entry.branch_id, entry.op) for entry in h.entries)
    rows = {(row.bank, row.gid, row.branch_id, row.op): row.reason for row in h.barrier}
    passed = {key for key, reason in rows.items() if reason == key[3] and _has_something_to_undo(key, rows)}
    for key in passed ^ entries.keys():
        yield f"{key}: {'no entry' if key in passed else 'no row of the barrier'}"
    for key, number in entries.items():
        if number > 1:
            yield f"{key} had its effect {number} times"


def participants_have_nothing_to_say(h: History) -> Iterator[str]:
    """Nothing happened to the participants that a coordinator must never do."""
    yield from h.faults


def nothing_unasked(h: History) -> Iterator[str]:
    """Every effect belongs to a transaction that is stored, and that somebody asked for."""
    for gid in {entry.gid for entry in h.entries} | set(h.of) | set(h.story):
        if gid not in h.rows or gid not in h.transfers:
            yield f"{gid} has effects, calls or changes, but no row or no client"


CHECKERS: dict[str, invariants.Checker] = invariants.CHECKERS | {
    "bank a": money_is_constant, "bank a, each": accounts_are_sound, "bank b and c": all_or_nothing,
    "bank d": nothing_unasked, "bank f": effects_are_barred, "participants": participants_have_nothing_to_say,
}  # fmt: skip


def _has_something_to_undo(key: tuple[str, str, str, str], rows: dict[tuple[str, str, str, str], str]) -> bool:
    origin = UNDOES.get(key[3])
    return origin is None or rows.get((*key[:3], origin)) == origin
