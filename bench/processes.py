"""Processes that the benchmark starts, and what /proc says of them."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Process:
    """A server and its children. `ready`: a pattern of the line it prints when it serves, or None."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        ready: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        began = time.monotonic()
        with (folder / "bench.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **(environment or {})},
                stdout=subprocess.PIPE if ready else log,
                stderr=log,
            )
        self.pid = self._process.pid
        self._command = " ".join(command)
        self.ready_line = self._wait_for(ready, folder) if ready else ""
        self.ready_after = time.monotonic() - began
        """Seconds from the start to the line."""

    def _wait_for(self, ready: str, folder: Path, within: float = 30) -> str:
        stdout = self._process.stdout
        assert stdout is not None
        while select.select([stdout], [], [], within)[0]:
            line = stdout.readline().decode()
            if re.search(ready, line):
                return line
            if not line:
                break
        self.stop()
        raise SystemExit(f"bench: {self._command} did not start, see {folder}/bench.log")

    def cpu(self) -> float:
        """Seconds of processor time so far, children included."""
        return sum(_cpu(pid) for pid in self._tree())

    def rss(self) -> float:
        """Resident memory in MiB, children included."""
        return sum(_rss(pid) for pid in self._tree())

    def written(self) -> int:
        """Bytes that this process has had written to the disk."""
        text = Path(f"/proc/{self.pid}/io").read_text(encoding="ascii")
        return int(re.findall(r"^write_bytes: (\d+)", text, re.MULTILINE)[0])

    def files(self) -> int:
        """Open files and sockets."""
        return len(self._open())

    def sockets(self) -> int:
        """Open sockets."""
        return sum(1 for name in self._open() if name.startswith("socket:"))

    def stop(self) -> None:
        """SIGTERM, SIGKILL after a while."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def _open(self) -> list[str]:
        names = []
        for each in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                names.append(str(each.readlink()))
        return names

    def _tree(self) -> Iterator[int]:
        yield self.pid
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
        yield from map(int, children.split())


def _cpu(pid: int) -> float:
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / TICK


def _rss(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE / 2**20
