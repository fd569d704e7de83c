"""Each of the examples does what its README says, from a copy of its folder."""

from __future__ import annotations

import shutil

import pytest

from tests.docs.test_readme import ROOT, Shell, read, shell

__all__ = ["shell"]

EXAMPLES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/README.md"))


def test_there_are_examples() -> None:
    assert {"curl"} <= set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_does_what_its_readme_says(shell: Shell, name: str) -> None:
    shutil.copytree(ROOT / "examples" / name, shell.folder, dirs_exist_ok=True)
    steps = read(f"examples/{name}/README.md").steps
    assert steps
    for step in steps:
        shell.run(step)
