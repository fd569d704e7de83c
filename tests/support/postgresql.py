"""A real PostgreSQL server of the tests' own: a temporary directory, a free port, stopped by its process id."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tests.support.ports import free_port

ACCOUNT = "nobody"
"""Whom it runs as when the tests are root's, which it refuses to be."""


class PostgreSQL:
    """One server. It stands in a directory right below /tmp: other accounts may not enter those that pytest makes."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dtm-postgresql-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> PostgreSQL:
        """Make the data directory when there is none yet, start, and wait until it answers."""
        data = self.folder / "data"
        if not data.exists():
            self._install(data)
        options = [f"-p{self.port}", "-clisten_addresses=127.0.0.1", f"-cunix_socket_directories={self.folder}"]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [program("postgres"), "-D", str(data), *options], stdout=log, stderr=log, **_account()
            )
        self._wait_until_it_answers()
        return self

    def stop(self) -> None:
        """End its sessions and it (SIGINT), and wait."""
        assert self.process is not None
        self.process.send_signal(2)
        self.process.wait(60)
        shutil.rmtree(self.folder)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @property
    def url(self) -> str:
        """The url of its database."""
        return f"postgresql://dtm@127.0.0.1:{self.port}/postgres"

    def _install(self, data: Path) -> None:
        if os.geteuid() == 0:
            shutil.chown(self.folder, ACCOUNT)
        command = [
            program("initdb"), "--pgdata", str(data), "--username=dtm", "--auth=trust", "--encoding=UTF8", "--no-sync",
        ]  # fmt: skip
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=self.folder, **_account())
        assert done.returncode == 0, f"{command[0]}: {done.stdout[-2000:]} {done.stderr[-2000:]}"

    def _wait_until_it_answers(self, within: float = 60) -> None:
        deadline = time.monotonic() + within
        command = [program("pg_isready"), "-h127.0.0.1", f"-p{self.port}", "-q"]
        while subprocess.run(command, check=False).returncode:
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > deadline:
                log = (self.folder / "server.log").read_text(errors="replace")
                raise AssertionError(f"postgres does not answer: {log[-3000:]}")
            time.sleep(0.05)


def program(name: str) -> str:
    """The path of a program of PostgreSQL's newest version. Tests without a server fail, they are not skipped."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    path = shutil.which(name, path=os.pathsep.join([*map(str, reversed(folders)), os.environ.get("PATH", "")]))
    if path is None:
        raise AssertionError(f"{name} is missing: apt-get install postgresql")
    return path


def _account() -> dict[str, str]:
    return {"user": ACCOUNT} if os.geteuid() == 0 else {}
