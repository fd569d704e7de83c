"""The error tree: what HTTP says, and what the text says."""

from __future__ import annotations

import pytest

from dtm.core import errors
from dtm.core.errors import Conflict, DtmError, InvalidRequest, NotAllowed


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("InvalidRequest", 400),
        ("Unauthorized", 401),
        ("Forbidden", 403),
        ("NotFound", 404),
        ("Conflict", 409),
        ("NotAllowed", 409),
        ("NotYet", 425),
        ("OutcomeUnknown", 500),
        ("StoreUnavailable", 503),
        ("StaleVersion", 500),
        ("CorruptRow", 500),
        ("BadPlan", 500),
        ("StartupError", 500),
    ],
)
def test_http_meaning(name: str, status: int) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, DtmError)
    assert kind.http_status == status


def test_an_invalid_request_names_each_pointer() -> None:
    error = InvalidRequest("/steps/0/action", "expected a url", ("/gid", "expected a string"))
    assert str(error) == "/steps/0/action: expected a url"
    assert error.errors == (("/steps/0/action", "expected a url"), ("/gid", "expected a string"))
    assert str(InvalidRequest("", "expected an object")) == "expected an object"


def test_a_conflict_tells_the_stored_status() -> None:
    assert Conflict("other steps").status is None
    assert NotAllowed("cannot submit", "succeed").status == "succeed"
    assert str(NotAllowed("cannot submit", "succeed")) == "cannot submit"
