"""The fixtures of these tests."""

from __future__ import annotations

import pytest

from tests.client.barrier.kinds import ALL, Kind, Places
from tests.support.mariadb import MariaDB
from tests.support.postgresql import PostgreSQL


@pytest.fixture(scope="session")
def places(mariadb: MariaDB, postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Places:
    """The databases."""
    return Places(mariadb, postgresql, tmp_path_factory.mktemp("barrier"))


@pytest.fixture(params=ALL, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest, places: Places) -> Kind:
    """Each kind of connection."""
    request.param.places = places
    return request.param
