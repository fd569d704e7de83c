"""Faults planted in protocols: the kit must find every one of them, by the law that names it."""

from __future__ import annotations

import pytest

from dtm.testing import conformance
from tests.properties.wrong_protocols import WRONG, WRONG_BY_ITSELF


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_protocol_is_found(name: str) -> None:
    protocol, law = WRONG[name]
    report = conformance(protocol, histories=300)
    assert not report.ok
    assert law in report.broken, report


@pytest.mark.parametrize("name", WRONG_BY_ITSELF)
def test_a_broken_promise_is_found(name: str) -> None:
    protocol, laws, law = WRONG_BY_ITSELF[name]
    report = conformance(protocol, laws=laws, histories=100)
    assert law in report.broken, report
