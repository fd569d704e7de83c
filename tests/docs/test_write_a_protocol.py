"""docs/write-a-protocol.md: all that it says to write and to type, in its order, in an environment of its own."""

from __future__ import annotations

import re
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.test_readme import ROOT, Shell, Step
from tests.support.ports import free_port

PAGE = (ROOT / "docs" / "write-a-protocol.md").read_text()
BLOCK = re.compile(r"^(?:`([^`\n]+)`:\n\n)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def environment_in(folder: Path) -> Path:
    """The commands of a new environment into which one can install, and in which all is there that is here."""
    venv.create(folder)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (packages / "here.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    offline = "--no-build-isolation --no-deps"  # nothing is fetched by a test
    for name, command in {"dtm": "dtm.cli", "pytest": "pytest -p no:pytest_tornado", "pip": "pip"}.items():
        script = folder / "bin" / name
        more = offline if name == "pip" else ""
        script.write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -m {command} "$@" {more}\n')
        script.chmod(0o755)
    return folder / "bin"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # it would double the time of examinations
    here = tmp_path / "here"
    here.mkdir()
    path = f"{environment_in(tmp_path / 'env')}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    shell = Shell(here, path, {port: str(free_port()) for port in ("36789", "8081")})
    yield shell
    shell.close()


@pytest.mark.timeout(300)
def test_a_reader_who_does_what_it_says_has_a_protocol(shell: Shell) -> None:
    blocks = list(BLOCK.finditer(PAGE))
    written, done = [], 0
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        file, language, text = block.groups()
        file = file or (text.partition("\n")[0].removeprefix("# ") if text.startswith("# ") else None)
        if file:
            (shell.folder / file).write_text(text)
            written.append(file)
        elif language == "sh":
            prints = following is not None and following[2] == "text"
            shell.run(Step(text, following[3] if following and prints else ""), prints=prints)
            done += 1
    assert [Path(file).name for file in written] == [
        "request.json", "__init__.py", "test_protocol.py", "conf.yml", "hosts.py",
    ]  # fmt: skip
    assert done == 4
