"""`dtm new-protocol`: the project that it writes works as it stands. (`make wheel` installs it, too.)"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import Ran, environment

CODE = "dtm_say_hello_2"
FILES = {"README.md", "pyproject.toml", f"{CODE}/__init__.py", f"{CODE}/request.json", "tests/test_protocol.py"}


def test_it_passes_its_own_tests_and_ours(
    dtm: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = dtm("new-protocol", "say-hello_2")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith(
        "say-hello_2/ is a working protocol. Next: cd say-hello_2 && pip install -e '.[test]' && "
    )
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # it would double the time of examinations
    project = tmp_path / "say-hello_2"
    assert {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()} == FILES
    assert 'name = "dtm-say-hello-2"\n' in (project / "pyproject.toml").read_text()
    assert 'name="say-hello_2",\n' in (project / CODE / "__init__.py").read_text()
    for command in (
        ["pytest", "-q", "-p", "no:pytest_tornado", "-p", "no:cacheprovider"],
        ["ruff", "check", "--isolated", "--select", "E,F,W,I,UP,B", "--line-length", "120", "."],
        ["ruff", "format", "--isolated", "--check", "--line-length", "120", "."],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            check=False, cwd=project, env=environment(PYTHONPATH=str(project)), capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["", "Hello", "1st", "a b", "../a", "a_", "a-", "ä", "a.b", "a" * 46])
def test_what_is_no_name_is_refused(dtm: Callable[..., Ran], tmp_path: Path, name: str) -> None:
    ran = dtm("new-protocol", name)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"dtm: {name!r} is no name for a protocol: ")
    assert len(ran.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["saga", "xa", "client", "coordinator"])
def test_what_dtm_has_itself_is_refused(dtm: Callable[..., Ran], tmp_path: Path, name: str) -> None:
    ran = dtm("new-protocol", name)
    assert (ran.status, ran.err) == (2, f"dtm: {name!r} is taken: dtm itself has it\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_nothing_is_overwritten(dtm: Callable[..., Ran], tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "hello")
    ran = dtm("new-protocol", "hello")
    assert (ran.status, ran.err) == (2, f"dtm: {tmp_path}/hello exists already: nothing is overwritten\n")
    assert list(tmp_path.rglob("*")) == [tmp_path / "hello"]
