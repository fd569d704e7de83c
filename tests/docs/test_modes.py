"""docs/modes.md speaks of every mode there is, and its diagrams show each operation that a coordinator calls."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "modes.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
MODES = sorted(path.name for path in (ROOT / "dtm" / "plugins").iterdir() if (path / "__init__.py").exists())


def test_it_speaks_of_every_mode() -> None:
    assert sorted(SECTIONS) == MODES


@pytest.mark.parametrize("mode", MODES)
def test_a_diagram_shows_its_calls_and_its_end(mode: str) -> None:
    diagram = re.search(r"```mermaid\n(.*?)^```$", SECTIONS[mode], re.MULTILINE | re.DOTALL)[1]
    called = set(re.findall(r"D->>\w: (\w+)", diagram))
    assert set(import_module(f"dtm.plugins.{mode}").PROTOCOL.ops) <= called
    assert "Note over D: succeed" in diagram
    known = set(re.findall(r"participant (\w+)", diagram))
    arrows = re.findall(r"^ +(\w+)-?->>(\w+): ", diagram, re.MULTILINE)
    assert {end for arrow in arrows for end in arrow} == known
