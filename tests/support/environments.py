"""Wheels, and empty environments in which they are used, far from the repository: the tools of `make wheel`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Failed(Exception):
    """A step did not do what it has to."""


def built(project: Path, dist: Path) -> Path:
    run([sys.executable, "-m", "build", "--wheel", "--outdir", str(dist), str(project)], ROOT)
    (wheel,) = dist.glob("*.whl")
    return wheel


def installed(folder: Path, *what: Path | str) -> Path:
    """The commands of a new environment that holds these, and what they depend on."""
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, *map(str, what)], folder)
    where = run([str(folder / "bin" / "python"), "-c", "import dtm.client; print(dtm.client.__file__)"], folder)
    if not where.startswith(str(folder)):
        raise Failed(f"dtm is imported from {where}")
    return folder / "bin"


@contextmanager
def serving(dtm: Path, folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`dtm serve` in this folder: the process, and its address once it is ready; killed in the end."""
    command, log = [str(dtm), "serve", "--port", "0", *arguments], folder / "log"
    with (
        log.open("ab") as stderr,
        subprocess.Popen(command, cwd=folder, env=clean(), stdout=subprocess.PIPE, stderr=stderr) as process,
    ):
        try:
            line = process.stdout.readline().decode()
            ready = re.fullmatch(r"dtm \S+ ready on (http://\S+)\n", line)
            if ready is None:
                raise Failed(f"no ready line, but {line!r}\n{log.read_text()}")
            yield process, ready[1]
        finally:
            process.kill()


def until(true: Callable[[], bool], what: str) -> None:
    """Return once it is; Failed with `what` after half a minute."""
    deadline = time.monotonic() + 30
    while not true():
        if time.monotonic() > deadline:
            raise Failed(f"it never happened: {what}")
        time.sleep(0.05)


def request(url: str, body: object = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, data, timeout=20) as reply:
        return json.loads(reply.read())


def run(command: list[str], folder: Path, status: int = 0) -> str:
    """What the command printed; Failed with it all when it ends with another status."""
    done = subprocess.run(
        command, check=False, cwd=folder, env=clean(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    text = done.stdout.decode(errors="replace")
    if done.returncode != status:
        raise Failed(f"{' '.join(command)}: status {done.returncode}\n{text}")
    return text


def clean() -> dict[str, str]:
    """This environment, without what could lead Python back to the repository or change settings."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("DTM_", "PYTHON", "COVERAGE", "VIRTUAL_ENV"))}
