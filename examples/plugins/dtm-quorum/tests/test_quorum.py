"""The quorum, on the real engine in virtual time."""

from pathlib import Path

import pytest
from dtm_quorum import PROTOCOL, REQUEST

import dtm
from dtm.testing import Faults, History, conformance, simulate

THREE = REQUEST["examples"][0]
LAWS = str(Path(__file__).with_name("laws.py"))


def called(history: History, op: str) -> set[str]:
    return {event.key[0] for event in history.of("request") if event.key and event.key[1] == op}


def test_it_keeps_the_laws() -> None:
    report = conformance("dtm_quorum", laws=LAWS, histories=100)
    assert report.ok, report


def test_the_first_two_are_kept_and_the_third_is_released() -> None:
    history = simulate(PROTOCOL, THREE, script={("01", "reserve"): ["ongoing", "ongoing", "success"]})
    assert (history.final.status, history.final.result) == ("succeed", "02 03"), history
    assert called(history, "release") == {"01"}


def test_a_refusal_is_made_up_for() -> None:
    history = simulate(PROTOCOL, THREE, script={("02", "reserve"): ["failure"]})
    assert (history.final.status, history.final.result) == ("succeed", "01 03"), history
    assert called(history, "release") == {"02"}  # its refusal might have followed a reservation


def test_one_whose_answer_was_lost_is_released() -> None:
    history = simulate(PROTOCOL, THREE, script={("03", "reserve"): ["lost", "failure"], ("01", "reserve"): ["failure"]})
    assert (history.final.status, history.final.reason) == ("failed", "at most 1 of 2 suppliers agree"), history
    assert ("03", "release") in {event.key for event in history.of("effect")}


def test_time_runs_out() -> None:
    never = ["ongoing"] * 99
    history = simulate(
        PROTOCOL,
        {**THREE, "timeout_to_fail": 3},
        script={("01", "reserve"): never, ("02", "reserve"): never},
    )
    assert (history.final.status, history.final.reason) == ("failed", "Timeout after 3 seconds"), history
    assert called(history, "release") == {"01", "02", "03"}


def test_more_cannot_be_needed_than_there_are() -> None:
    request = dtm.Request(verb="submit", gid="g", trans_type="quorum", body={**THREE, "need": 4})
    with pytest.raises(dtm.InvalidRequest, match="at most 3"):
        PROTOCOL.expand(request)


def test_a_crash_at_any_point() -> None:
    for point in range(simulate(PROTOCOL, THREE).points):
        history = simulate(PROTOCOL, THREE, faults=Faults(strikes={point: "crash"}))
        assert history.final.status == "succeed", history
