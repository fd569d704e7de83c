"""docs/barrier.md: the three anomalies happen without the barrier, and not with it, as printed."""

from __future__ import annotations

from tests.docs.test_readme import Shell, read, shell

__all__ = ["shell"]

PAGE = "docs/barrier.md"


def test_what_it_says_happens(shell: Shell) -> None:
    walk = read(PAGE)
    (shell.folder / "shop.py").write_text(walk.files["shop.py"])
    assert len([step for step in walk.steps if step.expected]) == 6
    for step in walk.steps:
        shell.run(step)
