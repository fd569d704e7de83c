"""Choices within a status: a protocol that makes one after the other, and is wrong if it does not store them first.

Fallback: book with the first hotel that agrees. One that errs too often is given up, its booking cancelled, and the
next one is asked. After a crash that forgot the errors, a hotel that was cancelled would be asked again: it would
agree, and have no booking.
"""

from __future__ import annotations

from dataclasses import replace

import dtm
from dtm import Call, Move, Snapshot, Status
from dtm.testing import Faults, conformance, simulate

HOTELS = {"hotels": [f"http://{name}.example/" for name in "abc"], "retry_limit": 1}
REQUEST = {
    "properties": {"hotels": {"type": "array", "items": {"$ref": "common.json#/$defs/url"}}},
    "required": ["hotels"],
    "examples": [HOTELS],
}


def expand(request: dtm.Request) -> list[dtm.Branch]:
    numbered = enumerate(request.body["hotels"], start=1)
    return [dtm.Branch(f"{number:02d}", op, url) for number, url in numbered for op in ("cancel", "book")]


def plan(snapshot: Snapshot) -> dtm.Decision:
    cancels = dtm.ordering.undoing(snapshot, "cancel", "book")
    if snapshot.status is Status.ABORTING:
        return Call(dtm.ordering.at_once(cancels)) if not dtm.ordering.all_succeeded(cancels) else Move(Status.FAILED)
    given_up = snapshot.result.split()
    for hotel in snapshot.op("book"):
        cancel = [branch for branch in cancels if branch.branch_id == hotel.branch_id]
        if hotel.branch_id in given_up:
            if not dtm.ordering.all_succeeded(cancel):
                return Call(tuple(cancel))
        elif hotel.succeeded:
            return Move(Status.SUCCEED, result=hotel.branch_id)
        elif hotel.failed or hotel.attempts > snapshot.options.retry_limit:
            return Move(Status.SUBMITTED, result=f"{snapshot.result} {hotel.branch_id}")
        elif snapshot.timed_out:
            return Move(Status.ABORTING, dtm.ordering.timeout_reason(snapshot))
        else:
            return Call((hotel,), until=snapshot.deadline)
    return Move(Status.ABORTING, "no hotel has a room")


FALLBACK = dtm.Protocol(
    name="fallback",
    summary="book with the first hotel that agrees",
    ops={"book": dtm.Op(may_fail=True), "cancel": dtm.Op(undoes="book")},
    request_schema=REQUEST,
    expand=expand,
    plan=plan,
)


def forgetful(snapshot: Snapshot) -> dtm.Decision:
    """The same, but it does not store whom it gives up."""
    given_up = ""
    while (
        isinstance(decision := plan(replace(snapshot, result=given_up)), Move) and decision.status is Status.SUBMITTED
    ):
        given_up = decision.result or ""
    return decision


def test_choices_that_are_stored_survive_everything() -> None:
    report = conformance(FALLBACK, histories=500)
    assert report.ok, report


def test_choices_that_are_not_stored_are_found() -> None:
    report = conformance(replace(FALLBACK, plan=forgetful), histories=500)
    assert report.broken == ["stays-undone"], report


def test_a_choice_is_one_write_and_clients_read_the_last() -> None:
    history = simulate(FALLBACK, HOTELS, script={("01", "book"): ["lost", "lost"], ("02", "book"): ["failure"]})
    assert history.final is not None
    assert (history.final.status, history.final.result) == (Status.SUCCEED, "03"), history
    cancelled = [event.key for event in history.of("effect") if event.key and event.key[1] == "cancel"]
    assert cancelled == [("01", "cancel"), ("02", "cancel")]


def test_who_only_repeats_himself_is_stopped() -> None:
    stubborn = replace(FALLBACK, plan=lambda snapshot: Move(Status.SUBMITTED, result="the same"))
    history = simulate(stubborn, HOTELS, faults=Faults())
    assert history.final is not None
    assert history.final.trouble == "moves from submitted to submitted, which leads nowhere"
