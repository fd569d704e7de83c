"""`dtm serve` as a real process, to be talked to, signalled and killed."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.support.client import Client
from tests.support.ports import free_port

FAST = {"DTM_RETRY_INTERVAL": "0.2", "DTM_RETRY_INTERVAL_MAX": "0.5", "DTM_POLL_INTERVAL": "0.2", "DTM_LEASE": "4"}
"""Scaled down, so that what takes minutes takes seconds."""


class Coordinator:
    """One process. `start()` waits for the ready line; `url` and `client` are good from then on."""

    def __init__(self, folder: Path, *arguments: str, port: int = 0, **environment: str) -> None:
        self.folder = folder
        self.arguments = arguments
        self.port = port
        self.environment = {**os.environ, **environment}
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "coordinator.log"

    def start(self) -> Coordinator:
        """Start it; the port chosen first is kept over restarts."""
        self.port = self.port or free_port()
        command = [sys.executable, "-m", "dtm.cli", "serve", "--port", str(self.port), *self.arguments]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=log
            )
        line = self._line(within=20)
        found = re.fullmatch(r"dtm .* ready on (http://.*:(\d+))\n", line)
        if not found:
            self.kill()
            raise AssertionError(f"no ready line, but {line!r}: {self.log.read_text()[-2000:]}")
        self.url, self.port = found[1], int(found[2])
        self.client = Client(self.url)
        return self

    def _line(self, within: float) -> str:
        assert self.process is not None
        assert self.process.stdout is not None
        deadline = time.monotonic() + within
        line = b""
        while not line.endswith(b"\n") and time.monotonic() < deadline:
            if not select.select([self.process.stdout], [], [], 0.1)[0]:
                continue
            char = os.read(self.process.stdout.fileno(), 1)
            if not char:
                break
            line += char
        return line.decode()

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def terminate(self, within: float = 30) -> int:
        """SIGTERM; the exit status."""
        return self._end(signal.SIGTERM, within)

    def _end(self, signum: int, within: float = 30) -> int:
        process = self.process
        assert process is not None
        if process.poll() is None:
            process.send_signal(signum)
        try:
            code = process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end: {self.log.read_text()[-5000:]}") from None
        if process.stdout:
            process.stdout.close()
        return code

    def __enter__(self) -> Coordinator:
        return self.start()

    def __exit__(self, *exc: Any) -> None:
        self.kill()
