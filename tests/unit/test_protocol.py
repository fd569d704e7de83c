"""A protocol is checked when it is made: a mistake is told by the name of the field."""

from __future__ import annotations

from typing import Any

import pytest

import dtm
from dtm.core.protocol import Protocol, Request

FINE: dict[str, Any] = {
    "name": "notify",
    "summary": "calls a url",
    "ops": {"call": dtm.Op(), "uncall": dtm.Op(undoes="call")},
    "plan": lambda snapshot: dtm.Wait(),
    "request_schema": {"type": "object"},
}


def test_the_least_protocol() -> None:
    protocol = Protocol(**FINE)
    assert protocol.verbs == dtm.SUBMIT_ONLY
    assert list(protocol.expand(Request(verb="submit", gid="g", trans_type="notify"))) == []
    assert protocol.undoable == {"call"}
    assert (protocol.version, protocol.default_timeout, protocol.unfinished) == ("1", True, dtm.Outcome.ONGOING)


def test_it_runs_its_own_version_and_those_that_it_carries() -> None:
    protocol = Protocol(**FINE, version="2", carries=["1", "1.5"])
    assert protocol.carries == ("1", "1.5")
    assert [version for version in ("0", "1", "1.5", "2") if protocol.runs(version)] == ["1", "1.5", "2"]


def test_its_tables_are_copied_and_read_only() -> None:
    ops, verbs = dict(FINE["ops"]), dict(dtm.SUBMIT_ONLY)
    protocol = Protocol(**{**FINE, "ops": ops, "verbs": verbs})
    ops.clear()
    verbs.clear()
    assert list(protocol.ops) == ["call", "uncall"]
    assert protocol.verbs == dtm.SUBMIT_ONLY
    with pytest.raises(TypeError):
        protocol.ops["more"] = dtm.Op()
    with pytest.raises(TypeError):
        protocol.verbs["more"] = dtm.Status.FAILED


def test_whatever_may_be_given() -> None:
    own = {(dtm.Verb.SUBMIT, None): dtm.Status.SUBMITTED, (dtm.Verb.SUBMIT, dtm.Status.PREPARED): lambda request: None}
    protocol = Protocol(
        **FINE,
        version="2",
        verbs=own,
        register=lambda request: [],
        branch_schema="x.json",
        settings_schema={},
        unfinished=dtm.Outcome.FAILURE,
    )
    assert protocol.verbs == own


TABLE = dict(dtm.SUBMIT_ONLY)


@pytest.mark.parametrize(
    ("field", "value", "error", "message"),
    [
        ("name", "", ValueError, "protocol name ''"),
        ("name", "Notify", ValueError, "a small letter"),
        ("name", "1st", ValueError, "a small letter"),
        ("name", "a" * 46, ValueError, "at most 45"),
        ("name", 7, ValueError, "protocol name 7"),
        ("version", "", ValueError, "version ''"),
        ("version", 2, ValueError, "version 2"),
        ("carries", "1", TypeError, "carries must be a tuple"),
        ("carries", ["0.9", "1"], ValueError, "older versions, each once"),
        ("carries", ["0.9", "0.9"], ValueError, "older versions, each once"),
        ("carries", ["0 9"], ValueError, "version '0 9'"),
        ("plan", None, TypeError, "plan must be a function"),
        ("expand", (), TypeError, "expand must be a function"),
        ("register", "x", TypeError, "register must be a function"),
        ("request_schema", None, TypeError, "request_schema must be"),
        ("request_schema", 1, TypeError, "request_schema must be"),
        ("branch_schema", 1, TypeError, "branch_schema must be"),
        ("settings_schema", "file.json", TypeError, "settings_schema must be"),
        ("ops", ["call"], TypeError, "ops must be a mapping"),
        ("ops", {"Call": dtm.Op()}, ValueError, "operation 'Call'"),
        ("ops", {1: dtm.Op()}, ValueError, "operation 1"),
        ("ops", {"call": "op"}, ValueError, "operation 'call'"),
        ("ops", {"call": dtm.Op(undoes="other")}, ValueError, "'call' undoes 'other'"),
        ("ops", {"call": dtm.Op(undoes="call")}, ValueError, "'call' undoes 'call'"),
        ("verbs", None, TypeError, "verbs must be a mapping"),
        ("verbs", {}, ValueError, "no verb creates"),
        ("verbs", {dtm.Verb.SUBMIT: dtm.Status.SUBMITTED}, TypeError, "keyed by"),
        ("verbs", {("submit",): dtm.Status.SUBMITTED}, TypeError, "keyed by"),
        ("verbs", {**TABLE, ("dance", None): dtm.Status.SUBMITTED}, ValueError, "unknown verb 'dance'"),
        ("verbs", {**TABLE, (dtm.Verb.FORCE_STOP, None): dtm.Status.FAILED}, ValueError, "unknown verb"),
        ("verbs", {**TABLE, ("abort", "prepared"): dtm.Status.FAILED}, ValueError, "cannot start from 'prepared'"),
        ("verbs", {**TABLE, ("abort", dtm.Status.FAILED): dtm.Status.FAILED}, ValueError, "cannot start from"),
        (
            "verbs",
            {**TABLE, ("abort", dtm.Status.ABORTING): dtm.Status.SUBMITTED},
            ValueError,
            "cannot lead from aborting",
        ),
        ("verbs", {**TABLE, ("abort", dtm.Status.PREPARED): "failed"}, TypeError, "must lead to a Status"),
        ("verbs", {("submit", dtm.Status.PREPARED): dtm.Status.SUBMITTED}, ValueError, "no verb creates"),
        ("unfinished", dtm.Outcome.SUCCESS, ValueError, "unfinished must be"),
        ("register", lambda request: [], ValueError, "register and branch_schema go together"),
        ("branch_schema", {}, ValueError, "register and branch_schema go together"),
    ],
)
def test_a_mistake_is_told(field: str, value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        Protocol(**{**FINE, field: value})
    assert message in str(caught.value)


def test_fields_are_given_by_name() -> None:
    with pytest.raises(TypeError):
        Protocol("notify", "calls a url")


def test_a_request_without_topics_knows_none() -> None:
    request = Request(verb="submit", gid="g", trans_type="notify")
    assert request.topic("any") is None
    assert (dict(request.body), dict(request.custom), dict(request.settings)) == ({}, {}, {})
