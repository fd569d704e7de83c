"""What the READMEs and the reference tell people to type works, and prints what they say.

Every `sh` block is run, in order, in one directory, unless the comment before it says `by hand`. A `text` block right
after it is what it prints on stdout; `...` stands for anything within a line, and times and widths of columns do not
matter. Blocks whose first line is `# name` are files, put there first. The usual ports are replaced by free ones.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dtm.core.web.base import BaseHandler
from dtm.core.web.routes import ROUTES
from tests.support.command import environment, run
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README-cn.md")
REFERENCE = "docs/api.md"
BLOCK = re.compile(r"^(<!-- by hand: .*-->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORTS = ("36789", "8081", "8082", "8083")

CURL = f"""#!{sys.executable}
# For machines without curl: what the READMEs use of it.
import sys, urllib.error, urllib.request
words = [word for word in sys.argv[1:] if word != "-s"]
data = words.pop(words.index("-d") + 1).encode() if "-d" in words else None
for url in (word for word in words if word != "-d"):
    try:
        reply = urllib.request.urlopen(url, data)
    except urllib.error.HTTPError as error:
        reply = error
    sys.stdout.write(reply.read().decode())
"""


@dataclass
class Step:
    """Commands, and what they print."""

    commands: str
    expected: str = ""


@dataclass
class Walk:
    """What a reader would do."""

    files: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    by_hand: str = ""
    samples: str = ""


def read(name: str) -> Walk:
    walk = Walk()
    last = 0
    for match in BLOCK.finditer((ROOT / name).read_text()):
        mark, language, text = match.groups()
        between = (ROOT / name).read_text()[last : match.start()]
        last = match.end()
        if mark:
            walk.by_hand += text
        elif language == "sh":
            walk.steps.append(Step(text))
        elif language == "text" and not between.strip():
            walk.steps[-1].expected = text
        elif not language:
            walk.samples += text
        elif text.startswith("# "):
            walk.files[text.partition("\n")[0].removeprefix("# ")] = text
    return walk


def settled(text: str) -> str:
    """The text without what differs from run to run."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    text = re.sub(r"\+\d+\.\d{3} s", "+N s", text)
    text = re.sub(r"\b\d+ ms", "N ms", text)
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST:PORT", text)
    return re.sub(r" +", " ", text).rstrip("\n")


def pattern(expected: str) -> re.Pattern[str]:
    """What the output has to be."""
    return re.compile(re.escape(settled(expected)).replace(re.escape("..."), ".*"))


class Shell:
    """Runs blocks in one directory; what was left running in the background ends with it."""

    def __init__(self, folder: Path, path: str, ports: dict[str, str]) -> None:
        self.folder = folder
        self.ports = ports
        address = f"http://127.0.0.1:{ports['36789']}"
        self.environment = environment(PATH=path, DTM_PORT=ports["36789"], DTM_SERVER=address)
        self.groups: list[subprocess.Popen[bytes]] = []

    def local(self, text: str) -> str:
        for usual, free in self.ports.items():
            text = re.sub(rf"\b{usual}\b", free, text)
        return text

    def run(self, step: Step, *, prints: bool = True) -> None:
        """Run it; AssertionError unless it prints what it should (unless that does not matter) within a while."""
        printed = self.folder / f"printed-{len(self.groups)}"
        logged = printed.with_suffix(".log")
        with printed.open("wb") as out, logged.open("wb") as log:
            process = subprocess.Popen(
                ["bash", "-euc", self.local(step.commands)],
                cwd=self.folder,
                env=self.environment,
                stdout=out,
                stderr=log,
                start_new_session=True,
            )
        self.groups.append(process)
        assert process.wait(60) == 0, printed.read_text() + logged.read_text()
        wanted = pattern(self.local(step.expected))
        deadline = time.monotonic() + 20
        while prints and not wanted.fullmatch(settled(printed.read_text())):
            assert time.monotonic() < deadline, f"{step.commands}\nexpected:\n{step.expected}\n{printed.read_text()}"
            time.sleep(0.05)

    def close(self) -> None:
        for group in self.groups:
            try:
                os.killpg(group.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    programs = tmp_path / "bin"
    programs.mkdir()
    if shutil.which("curl") is None:
        (programs / "curl").write_text(CURL)
        (programs / "curl").chmod(0o755)
    here = tmp_path / "here"
    here.mkdir()
    path = os.pathsep.join([str(Path(sys.executable).parent), str(programs), os.environ["PATH"]])
    shell = Shell(here, path, {port: str(free_port()) for port in PORTS})
    yield shell
    shell.close()


@pytest.mark.parametrize("name", [*READMES, REFERENCE])
def test_what_it_says_to_type_works(shell: Shell, name: str) -> None:
    walk = read(name)
    assert len(walk.steps) >= 7
    for file, text in walk.files.items():
        (shell.folder / file).write_text(shell.local(text))
    for step in walk.steps:
        shell.run(step)


@pytest.mark.parametrize(("file", "most"), [("transfer.py", 5), ("shop.py", 10)])
def test_the_first_examples_are_short_and_the_clients_own_page_has_them_too(file: str, most: int) -> None:
    texts = [read(name).files[file] for name in (*READMES, "packaging/dtm-client/README.md")]
    assert len(set(texts)) == 1
    assert len([line for line in texts[0].splitlines()[1:] if line]) <= most


def test_both_readmes_say_to_type_the_same() -> None:
    english, chinese = map(read, READMES)
    assert english.steps == chinese.steps
    assert english.by_hand == chinese.by_hand
    assert english.files.keys() == chinese.files.keys()


def test_the_demo_prints_what_the_readme_shows(tmp_path: Path) -> None:
    printed = [settled(line) for line in run(tmp_path, "demo", "saga-rollback").out.splitlines()]
    shown = read("README.md").samples.strip("\n").splitlines()
    assert len(shown) > 5
    assert [line for line in shown if not any(map(pattern(line).fullmatch, printed))] == []


def test_what_is_run_by_hand_are_targets_of_the_makefile() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert read("README.md").by_hand.splitlines() == ["make demo", "make test"]
    assert {"demo", "test"} <= set(targets)


def test_the_reference_names_every_endpoint_and_who_may_use_it() -> None:
    row = re.compile(r"^\| `[A-Z]+ (/[\w/]+)[^|]*\| (\w+) \|", re.MULTILINE)
    said = dict(row.findall((ROOT / REFERENCE).read_text()))
    assert said == {re.sub(r"\(.*?\)", "", path): role(handler) for path, handler in ROUTES}


def role(handler: type[BaseHandler]) -> str:
    if handler.public:
        return "none"
    return "operator" if handler.operator else "client"


@pytest.mark.parametrize("schema", ["common", "saga", "msg", "error"])
def test_the_reference_names_every_key(schema: str) -> None:
    keys = json.loads((ROOT / "schemas" / f"{schema}.json").read_text())["properties"]
    text = (ROOT / REFERENCE).read_text()
    assert [key for key in keys if f"`{key}`" not in text and f'"{key}"' not in text] == []


PAGES = (*READMES, "CONTRIBUTING.md", "CHANGELOG.md", *(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")))


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text())
    folder = (ROOT / name).parent
    missing = [link for link in links if not link.startswith("https://") and not (folder / link).exists()]
    assert missing == []
