"""Three real nodes on one real MariaDB, shared by all tests here: what a test kills or stops, it starts again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from tests.support.cluster import Cluster
from tests.support.mariadb import MariaDB, database_of


@pytest.fixture(scope="session")
def nodes(mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Nodes a, b and c."""
    folder = tmp_path_factory.mktemp("cluster")
    with Cluster(folder, mariadb.url(database_of(folder))) as cluster:
        yield cluster


@pytest.fixture
def gid(request: pytest.FixtureRequest) -> Callable[[], str]:
    """gid() -> one that no other test has used."""
    numbers = count()
    return lambda: f"{request.node.name}-{next(numbers)}"
