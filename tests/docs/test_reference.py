"""docs/client.md is what `make reference` writes, and speaks of everything that is public."""

from __future__ import annotations

import runpy

import dtm.client
import dtm.client.barrier
from tests.docs.test_readme import ROOT, Shell, read, shell

__all__ = ["shell"]


def test_it_is_current_and_names_everything() -> None:
    reference = runpy.run_path(str(ROOT / "docs" / "reference.py"))
    assert (ROOT / "docs" / "client.md").read_text() == reference["page"](), "run `make reference`"
    told = {name for _, names in reference["SECTIONS"].values() for name in names}
    assert {*dtm.client.__all__, *dtm.client.barrier.__all__} <= told


def test_what_is_public_has_a_docstring() -> None:
    assert "None\n" not in runpy.run_path(str(ROOT / "docs" / "reference.py"))["page"]()


def test_its_examples_do_what_it_says(shell: Shell) -> None:
    walk = read("docs/client.md")
    assert len(walk.steps) == 3
    for file, text in walk.files.items():
        (shell.folder / file).write_text(shell.local(text))
    for step in walk.steps:
        shell.run(step)
