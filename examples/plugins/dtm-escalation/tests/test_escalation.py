"""The escalation, on the real engine in virtual time."""

from pathlib import Path

import pytest
from dtm_escalation import PROTOCOL

import dtm
from dtm.testing import History, Step, conformance, simulate

LAWS = str(Path(__file__).with_name("laws.py"))
RAISE = Step("prepare", {"timeout_to_fail": 60, "patience": 5})
CONTACTS = [
    Step("register", {"branch_id": name, "tell": f"http://pager/{name}", "withdraw": f"http://pager/{name}/withdraw"})
    for name in ("anna", "ben", "cleo")
]


def acknowledge(by: str, after: float) -> Step:
    return Step("submit", {"custom_data": f'{{"by": "{by}"}}'}, after=after)


def told(history: History) -> list[tuple[str, int]]:
    """Who was told, and in which second."""
    return [(event.key[0], int(event.at)) for event in history.of("request") if event.key[1] == "tell"]


def withdrawn(history: History) -> set[str]:
    return {event.key[0] for event in history.of("effect") if event.key[1] == "withdraw"}


def test_it_keeps_the_laws() -> None:
    report = conformance("dtm_escalation", laws=LAWS, histories=100)
    assert report.ok, report


def test_one_after_the_other_until_somebody_acknowledges() -> None:
    history = simulate(PROTOCOL, [RAISE, *CONTACTS, acknowledge("ben", after=7)])
    assert history.final.status is dtm.Status.SUCCEED, history
    assert told(history) == [("anna", 0), ("ben", 5)]
    assert withdrawn(history) == {"anna"}


def test_who_cannot_be_reached_is_not_waited_for() -> None:
    script = {("anna", "tell"): ["failure"]}
    history = simulate(PROTOCOL, [RAISE, *CONTACTS, acknowledge("cleo", after=7)], script=script)
    assert told(history) == [("anna", 0), ("ben", 0), ("cleo", 5)]
    assert withdrawn(history) == {"anna", "ben"}


def test_a_pager_that_does_not_answer_holds_nobody_up() -> None:
    script = {("anna", "tell"): ["refused"] * 99}
    history = simulate(PROTOCOL, [RAISE, *CONTACTS, acknowledge("ben", after=7)], script=script)
    assert told(history) == [("ben", 5)]
    assert withdrawn(history) == set()


def test_nobody_acknowledges() -> None:
    history = simulate(PROTOCOL, [RAISE, *CONTACTS])
    assert history.final.status is dtm.Status.FAILED, history
    assert history.final.reason == "nobody has acknowledged: Timeout after 60 seconds"
    assert withdrawn(history) == {"anna", "ben", "cleo"}


def test_it_is_called_off() -> None:
    history = simulate(PROTOCOL, [RAISE, *CONTACTS, Step("abort", {}, after=1)])
    assert history.final.status is dtm.Status.FAILED, history
    assert withdrawn(history) == {"anna"}


def test_the_patience_is_the_operators_unless_the_request_says() -> None:
    steps = [Step("prepare", {"timeout_to_fail": 60}), *CONTACTS, acknowledge("anna", after=20)]
    history = simulate(PROTOCOL, steps, settings={"patience": 3})
    assert told(history) == [("anna", 0), ("ben", 3), ("cleo", 6)]


def test_what_was_never_raised_cannot_be_acknowledged() -> None:
    history = simulate(PROTOCOL, [acknowledge("anna", after=0)])
    assert history.final is None
    assert [event.kind for event in history.of("ok", "refused")] == ["refused"]


def test_who_acknowledges_has_a_name() -> None:
    request = dtm.Request(verb="submit", gid="g", trans_type="escalation", custom={"by": 1})
    with pytest.raises(dtm.InvalidRequest, match="branch_id"):
        PROTOCOL.expand(request)
