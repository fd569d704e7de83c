"""The fixture of these tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.support.command import Ran, run


@pytest.fixture
def dtm(tmp_path: Path) -> Callable[..., Ran]:
    """dtm("show", "g", DTM_TOKEN="t"): run a command in an empty directory."""
    return partial(run, tmp_path)
