"""Fixtures for tests of plugins, for those who ask for them: `pytest_plugins = ["dtm.testing.fixtures"]`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dtm.testing.participants import Participants


@pytest.fixture
def participants() -> Iterator[Participants]:
    """Participants over real HTTP."""
    with Participants() as server:
        yield server
