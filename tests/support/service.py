"""A participant as a process of its own, to be killed and started again."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.support.ports import free_port


class Service:
    """`python -m MODULE PORT DATABASE`; what it says goes to a file. Its port is another one after each start."""

    def __init__(self, module: str, database: str, log: Path) -> None:
        self.module = module
        self.database = database
        self.log = log
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, within: float = 60) -> None:
        """Start it, and wait until it listens."""
        self.port = free_port()
        command = [sys.executable, "-m", self.module, str(self.port), self.database]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + within
        while not self._listens():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self.module} does not listen: {self.log.read_text()[-2000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9, if it ever ran."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
