"""Verb tables: the reference table of contract 3.9, and what a table of one's own may say."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtm.core import lifecycle
from dtm.core.errors import InvalidRequest, NotAllowed
from dtm.core.lifecycle import NOTES, SUBMIT_ONLY, TWO_PHASE, apply
from dtm.core.model import Status, Verb

STATUSES = [None, *Status]
UNFINISHED = [status for status in Status if not status.final]


@pytest.mark.parametrize("status", STATUSES)
def test_submit_only(status: Status | None) -> None:
    if status in (None, Status.SUBMITTED):
        assert apply(SUBMIT_ONLY, Verb.SUBMIT, status) is Status.SUBMITTED
    else:
        with pytest.raises(NotAllowed, match="cannot submit") as caught:
            apply(SUBMIT_ONLY, Verb.SUBMIT, status)
        assert caught.value.status is status


@pytest.mark.parametrize("verb", [Verb.PREPARE, Verb.ABORT, Verb.REGISTER, "dance"])
@pytest.mark.parametrize("status", STATUSES)
def test_a_verb_that_the_protocol_does_not_know_at_all(verb: str, status: Status | None) -> None:
    with pytest.raises(InvalidRequest, match=verb):
        apply(SUBMIT_ONLY, verb, status)


TABLE = {
    Verb.PREPARE: {None: Status.PREPARED, Status.PREPARED: Status.PREPARED},
    Verb.SUBMIT: dict.fromkeys([None, Status.PREPARED, Status.SUBMITTED], Status.SUBMITTED),
    Verb.ABORT: dict.fromkeys([Status.PREPARED, Status.ABORTING], Status.ABORTING),
    Verb.REGISTER: {Status.PREPARED: Status.PREPARED},
}


@pytest.mark.parametrize("verb", list(TABLE))
@pytest.mark.parametrize("status", STATUSES)
def test_two_phase(verb: Verb, status: Status | None) -> None:
    if status in TABLE[verb]:
        assert apply(TWO_PHASE, verb, status) is TABLE[verb][status]
    else:
        with pytest.raises(NotAllowed):
            apply(TWO_PHASE, verb, status)


@pytest.mark.parametrize("table", [SUBMIT_ONLY, TWO_PHASE, {}])
@pytest.mark.parametrize("status", STATUSES)
def test_force_stop_is_the_cores_own(table: dict, status: Status | None) -> None:
    if status in UNFINISHED:
        assert apply(table, Verb.FORCE_STOP, status) is Status.FAILED
    else:
        with pytest.raises(NotAllowed, match="cannot force-stop"):
            apply(table, Verb.FORCE_STOP, status)


def test_a_target_may_depend_on_the_request() -> None:
    table = {**TWO_PHASE, (Verb.SUBMIT, Status.PREPARED): lambda request: Status(request.body["status"])}
    request = SimpleNamespace(body={"status": "succeed"})
    assert apply(table, Verb.SUBMIT, Status.PREPARED, request) is Status.SUCCEED
    with pytest.raises(NotAllowed):
        apply(table, Verb.SUBMIT, Status.SUCCEED, request)


@given(st.sampled_from([SUBMIT_ONLY, TWO_PHASE]), st.sampled_from(Verb), st.sampled_from(STATUSES))
def test_a_verb_that_was_allowed_may_be_repeated_but_never_leaves_a_final_status(table, verb, status) -> None:
    try:
        after = apply(table, verb, status)
    except (NotAllowed, InvalidRequest):
        return
    assert status is None or not status.final
    if not after.final:
        assert apply(table, verb, after) is after


@pytest.mark.parametrize(
    ("to", "before", "more", "adds"),
    [
        ("submitted", "", "01", True),
        ("submitted", "01", "01 02", True),
        ("submitted", "", "x" * NOTES, True),
        ("submitted", "", "x" * (NOTES + 1), False),
        ("submitted", "01", "01", False),
        ("submitted", "01 02", "01", False),
        ("submitted", "01", "02 03", False),
        ("submitted", "", None, False),
        ("succeed", "", "01", False),
    ],
)
def test_a_plan_may_add_to_its_result_where_it_is(to: str, before: str, more: str | None, adds: bool) -> None:
    assert lifecycle.adds(Status.SUBMITTED, before, Status(to), more) is adds
