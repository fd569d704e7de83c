"""Coordinators that start in a quarter of the time: forked off a process that has imported everything already.

Each is a process of its own, from the command line of `dtm serve` on, and is killed like any other.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tests.support.client import Client

ROOT = Path(__file__).parents[2]


class Child:
    """One coordinator; `url` and `client` are good. Signals go to it as long as it lives."""

    def __init__(self, pid: int, out: int, log: Path) -> None:
        self.pid = pid
        self._fd = os.pidfd_open(pid)
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([out, self._fd], [], [], 60)
            said = os.read(out, 1000) if out in ready else b""
            assert said, f"no ready line, but {line!r}: {log.read_text()[-2000:]}"
            line += said
        os.close(out)
        found = re.fullmatch(r"dtm .* ready on (http://.*)\n", line.decode())
        assert found is not None
        self.url = found[1]
        self.client = Client(self.url)

    def signal(self, signum: int) -> None:
        """Send a signal, unless it has ended."""
        if not self.ended():
            signal.pidfd_send_signal(self._fd, signum)

    def ended(self, within: float = 0) -> bool:
        """Whether it has ended, or does so within so many seconds."""
        return bool(select.select([self._fd], [], [], within)[0])

    def bury(self) -> None:
        """kill -9, and wait."""
        self.signal(signal.SIGKILL)
        assert self.ended(30)
        os.close(self._fd)


class Nursery:
    """The process that forks; `bear` may be called by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._born = 0
        command = [sys.executable, "-m", "tests.support.nursery"]
        # Those that are killed would tell no coverage, and be slow for it.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def bear(self, folder: Path, **environment: str) -> Child:
        """Start a coordinator in a folder, on a free port; return when it is ready."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._born += 1
            name = folder / f"out-{self._born}"
            os.mkfifo(name)
            out = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
            order = {"folder": str(folder), "out": str(name), "environment": environment}
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            pid = int(self._process.stdout.readline())
        return Child(pid, out, folder / "coordinator.log")

    def close(self) -> None:
        """End it, and whoever came from it."""
        self._process.communicate()


def main() -> None:
    """Fork a coordinator for each line on stdin; at the end of it, kill them all."""
    import dtm.core.app
    import dtm.core.store.mysql
    import dtm.process  # noqa: F401 - what each of them needs

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that nobody has to wait for them
    for line in sys.stdin.buffer:
        order = json.loads(line)
        pid = os.fork()
        if not pid:
            _live(order)
        os.write(1, b"%d\n" % pid)
    os.killpg(0, signal.SIGKILL)


def _live(order: dict[str, Any]) -> None:
    from dtm.cli import main as dtm

    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.chdir(order["folder"])
        os.environ.update(order["environment"])
        for number, name in enumerate((os.devnull, order["out"], "coordinator.log")):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
        dtm(["serve", "--port", "0"])
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
