"""docs/states.md is what `make states` writes."""

from __future__ import annotations

import runpy

from tests.docs.test_readme import ROOT


def test_the_diagrams_are_current() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "states.py"))["page"]()
    assert (ROOT / "docs" / "states.md").read_text() == page, "run `make states`"
    for name in ("saga", "tcc", "msg", "xa", "quorum", "escalation"):
        assert f"## {name}\n" in page
    assert page.count("stateDiagram-v2") == 6
