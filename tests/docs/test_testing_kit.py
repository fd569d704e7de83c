"""docs/testing-kit.md: its protocol, its tests and its commands work as printed, and it names every law."""

from __future__ import annotations

import json
import re

from dtm.testing import LAWS
from dtm.testing.conformance import DETERMINISTIC, SAME
from dtm.testing.order import SENTENCE, UNDONE_IN_REVERSE
from tests.docs.test_readme import ROOT, Shell, read, shell

__all__ = ["shell"]

PAGE = "docs/testing-kit.md"


def test_what_it_says_works(shell: Shell) -> None:
    walk = read(PAGE)
    assert set(walk.files) == {"notify.py", "test_notify.py", "conftest.py"}
    assert len(walk.steps) == 2
    for file, text in walk.files.items():
        (shell.folder / file).write_text(text)
    for step in walk.steps:
        shell.run(step, prints=False)
    (report,) = json.loads((shell.folder / "report.json").read_text())
    assert (report["protocol"], report["version"], report["verdict"]) == ("notify", "1", "conforms")


def test_it_names_every_law() -> None:
    told = dict(re.findall(r"^\| `([\w-]+)` \| (.*) \|$", (ROOT / PAGE).read_text(), re.MULTILINE))
    laws = {law.name: law.sentence for law in LAWS}
    assert told == {**laws, UNDONE_IN_REVERSE: SENTENCE, DETERMINISTIC: SAME}
