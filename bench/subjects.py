"""What is measured: a coordinator on a store, the bare handler, somebody else's server."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from bench.participants import free_port
from bench.processes import Process
from tests.support.mariadb import MariaDB, database_of

BARE = "bare handler"
SHIM = "libfsyncdelay.so"


@dataclass(eq=False)
class Subject:
    """A server at `url`; `processes` by the name under which their processor time is shown."""

    name: str
    url: str
    processes: Mapping[str, Process] = field(default_factory=dict)

    def written(self) -> dict[str, float]:
        """Counters of the store: `commits` and `redo` (bytes), as far as they are known here."""
        return {}

    def stop(self) -> None:
        """Stop what was started."""
        for process in self.processes.values():
            process.stop()


class OnSqlite(Subject):
    """`dtm serve` as shipped: SQLite. Commits are its own counter, bytes what the kernel was given to write."""

    def __init__(self, folder: Path, name: str = "dtm sqlite", **environment: str) -> None:
        process = serve(folder, "sqlite:///dtm.db", environment)
        super().__init__(name, url_of(process), {"dtm": process})

    def written(self) -> dict[str, float]:
        """Of the process."""
        return commits_told(self.url) | {"redo": self.processes["dtm"].written()}


class OnMariaDB(Subject):
    """`dtm serve` on MariaDB. Commits are the server's Com_insert and Com_update, bytes those of its redo log."""

    def __init__(self, folder: Path, database: MariaDB, name: str = "dtm mariadb", **environment: str) -> None:
        process = serve(folder, database.url(database_of(folder)), environment)
        self._database = database
        super().__init__(name, url_of(process), {"dtm": process, "mariadbd": Running(database)})

    def written(self) -> dict[str, float]:
        """Of the database server."""
        wanted = "('Com_insert', 'Com_update', 'Innodb_os_log_written')"
        status = dict(self._database.run(f"SHOW GLOBAL STATUS WHERE Variable_name IN {wanted}"))
        commits = int(status["Com_insert"]) + int(status["Com_update"])
        return {"commits": commits, "redo": int(status["Innodb_os_log_written"])}


class Running(Process):
    """The database server, which is started and stopped elsewhere."""

    def __init__(self, database: MariaDB) -> None:
        assert database.process is not None
        self.pid = database.process.pid

    def stop(self) -> None:
        """Several subjects may use it."""


def bare(folder: Path) -> Subject:
    """The bare handler."""
    port = free_port()
    script = Path(__file__).with_name("bare.py")
    process = Process([sys.executable, str(script), str(port)], folder, "ready on")
    return Subject(BARE, f"http://127.0.0.1:{port}", {"bare": process})


def serve(folder: Path, store: str, environment: Mapping[str, str]) -> Process:
    """`dtm serve` with its defaults."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "dtm.cli", "serve", "--port", "0", "--store", store]
    return Process(command, folder, r"ready on http://", environment)


def url_of(process: Process) -> str:
    """The URL that a coordinator's ready line tells."""
    return process.ready_line.rpartition(" ")[2].strip()


def commits_told(url: str) -> dict[str, float]:
    """The coordinator's own count of commits; nothing from one that keeps none."""
    found = told(url, "dtm_commits_total")
    return {} if found is None else {"commits": found}


def told(url: str, name: str) -> float | None:
    """A figure of a server's `/api/metrics`, the sum of all its series; None when it has no such thing."""
    try:
        with urlopen(f"{url}/api/metrics") as reply:
            page = reply.read().decode()
    except HTTPError:
        return None
    found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? ([0-9.e+]+)$", page, re.MULTILINE)
    return sum(map(float, found)) if found else None
