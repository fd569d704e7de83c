"""Histories in which one thing is wrong, made of one in which nothing is: what each checker must find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.support.history import TAG_BITS, Account, Change, Entry, History, Row, Served

Doctor = Callable[[History], None]


def copy(h: History) -> History:
    """One that may be doctored."""
    names = ("events", "served", "entries", "barrier", "accounts", "faults", "changes")
    return replace(h, rows=dict(h.rows), **{name: list(getattr(h, name)) for name in names})


def some(h: History, mode: str, status: str, op: str = "", quirk: str = "") -> str:
    """A transfer of that kind, in which a call with this op was seen."""
    return next(
        gid
        for gid, transfer in h.transfers.items()
        if (transfer.mode, transfer.quirk, h.status(gid)) == (mode, quirk, status)
        and (not op or op in {call.op for call in h.of[gid]})
    )


def place(h: History, gid: str, op: str, branch_id: str = "01") -> int:
    """Where the call stands among those that were served."""
    return next(n for n, call in enumerate(h.served) if (call.gid, call.op, call.branch_id) == (gid, op, branch_id))


def last(h: History, gid: str) -> Change:
    return h.story[gid][-1]


def lost(h: History) -> None:
    del h.rows[some(h, "saga", "succeed")]


def never_ends(h: History) -> None:
    gid = some(h, "saga", "succeed")
    h.rows[gid] = replace(h.rows[gid], status="submitted")


def refused_and_done(h: History) -> None:
    gid = next(event.gid for event in h.events if event.status == 400)
    h.rows[gid] = Row(gid, "succeed", "", {})


def forbidden_move(h: History) -> None:
    change = last(h, some(h, "tcc", "succeed"))
    h.changes[h.changes.index(change)] = replace(change, after="aborting")


def after_the_end(h: History) -> None:
    change = last(h, some(h, "saga", "failed"))
    ending = (change.ending[0], "another reason", "")
    later = change.version + 2**TAG_BITS
    h.changes.append(replace(change, before="failed", ending=ending, expected=change.version, version=later))


def branch_turns(h: History) -> None:
    change = last(h, some(h, "saga", "succeed"))
    prepared: list[dict[str, str]] = [{} for _ in change.standings]
    h.changes.append(replace(change, standings=prepared, expected=change.version, version=change.version + 2**TAG_BITS))


def succeeded_without_its_branches(h: History) -> None:
    change = last(h, some(h, "saga", "succeed"))
    h.changes[h.changes.index(change)] = replace(change, standings=[{} for _ in change.standings])


def out_of_turn(h: History) -> None:
    gid = some(h, "saga", "succeed")
    one, two = place(h, gid, "action", "01"), place(h, gid, "action", "02")
    h.served[two] = replace(h.served[two], began=h.served[one].began)


def not_undone(h: History) -> None:
    gid = some(h, "saga", "failed", "compensate")
    h.served[:] = [call for call in h.served if (call.gid, call.op) != (gid, "compensate")]


def undone_after_success(h: History) -> None:
    call = h.served[place(h, some(h, "saga", "succeed"), "action")]
    h.served.append(replace(call, op="compensate", began=call.ended + 1, ended=call.ended + 2))


def acts_after_the_decision(h: History) -> None:
    gid = some(h, "concurrent", "failed", "compensate")
    number = place(h, gid, "action")
    h.served[number] = replace(h.served[number], epoch=h.served[place(h, gid, "compensate")].epoch)


def both(h: History) -> None:
    call = h.served[place(h, some(h, "tcc", "succeed"), "confirm")]
    h.served.append(replace(call, op="cancel"))


def registered_in_vain(h: History) -> None:
    gid = some(h, "tcc", "succeed")
    h.rows[gid] = replace(h.rows[gid], request={"branches": h.rows[gid].request["branches"][:2]})


def delivered_in_vain(h: History) -> None:
    gid = some(h, "msg", "succeed")
    h.entries[:] = [entry for entry in h.entries if (entry.gid, entry.branch_id) != (gid, "00")]


def unfenced(h: History) -> None:
    change = last(h, some(h, "saga", "succeed"))
    h.changes[h.changes.index(change)] = replace(change, expected=change.expected + 1)


def twice_at_a_time(h: History) -> None:
    h.served.append(h.served[place(h, some(h, "saga", "succeed"), "action")])


def stale(h: History) -> None:
    call: Served = h.served[place(h, some(h, "saga", "succeed"), "action")]
    h.served.append(replace(call, epoch=call.epoch - 1 or -1, began=call.ended + 1, ended=call.ended + 2))


def a_unit_is_gone(h: History) -> None:
    h.accounts[0] = replace(h.accounts[0], balance=h.accounts[0].balance - 1)


def frozen_for_ever(h: History) -> None:
    h.accounts[0] = replace(h.accounts[0], frozen=1)


def half_done(h: History) -> None:
    gid = some(h, "saga", "succeed")
    h.entries[:] = [entry for entry in h.entries if (entry.gid, entry.branch_id) != (gid, "02")]


def from_nowhere(h: History) -> None:
    account: Account = h.accounts[0]
    h.entries.append(Entry(account.bank, "nobody's", "01", "action", account.name, 0, 0))


def done_twice(h: History) -> None:
    h.entries.append(replace(h.entries[-1], balance=0))


def complaint(h: History) -> None:
    h.faults.append("overdrawn")


DOCTORED: dict[str, Doctor] = {
    "I-DUR-1": lost, "I-DUR-2": never_ends, "I-DUR-3": refused_and_done, "I-SM-1": forbidden_move,
    "I-SM-2": after_the_end, "I-SM-3": branch_turns, "I-SM-4": succeeded_without_its_branches, "I-SAGA": out_of_turn,
    "I-COMP-1": not_undone, "I-COMP-2": undone_after_success, "I-COMP-3": acts_after_the_decision, "I-TCC-1": both,
    "I-REG-1": registered_in_vain, "I-MSG-1": delivered_in_vain, "I-LEASE-1": unfenced,
    "I-LEASE-2": twice_at_a_time, "I-LEASE-3": stale, "bank a": a_unit_is_gone, "bank a, each": frozen_for_ever,
    "bank b and c": half_done, "bank d": from_nowhere, "bank f": done_twice, "participants": complaint,
}  # fmt: skip
