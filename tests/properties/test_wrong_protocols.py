"""Faults planted in protocols: the kit must find every one of them, by the law that names it."""

from __future__ import annotations

import pytest

from dtm.testing import conformance
from tests.properties.wrong_protocols import WRONG


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_protocol_is_found(name: str) -> None:
    protocol, law = WRONG[name]
    report = conformance(protocol, histories=300)
    assert not report.ok
    assert law in report.broken, report
