"""A real MariaDB server of the tests' own: a temporary directory, a free port, stopped by its process id."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pymysql

from tests.support.ports import free_port

ADMIN = "root"
USER, PASSWORD = "dtm", "ge/heim@:%€"
"""A user without any power over the server, and a password that a URL cannot hold as it is."""

QUOTED_PASSWORD = "ge%2Fheim%40%3A%25%E2%82%AC"


class MariaDB:
    """One server. Its clock's zone and its character set are unusual on purpose: nothing may depend on them.

    `account`: whom it runs as when the tests are root's.
    """

    account = "root"

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> MariaDB:
        """Make the data directory when there is none yet, start, and wait until it answers."""
        data = self.folder / "data"
        if not data.exists():
            self._install(data)
        self.port = self.port or free_port()
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    binary("mariadbd"), "--no-defaults", *self._as_user(), f"--datadir={data}", f"--port={self.port}",
                    "--bind-address=127.0.0.1", f"--socket={self.folder}/socket", f"--pid-file={self.folder}/pid",
                    "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=64M",
                    "--default-time-zone=+05:30", "--character-set-server=latin1",
                    f"--ssl-cert={self.certificate}", f"--ssl-key={self.folder}/server.key", *self.options,
                ],
                env=self._environment(),
                stdout=log,
                stderr=log,
            )  # fmt: skip
        self._wait_until_it_answers()
        self.run(f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'")
        self.run(f"GRANT ALL ON `dtm\\_%`.* TO '{USER}'@'%'")
        return self

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(60)

    def url(self, database: str, **parameters: str) -> str:
        """The URL of a database, for the setting `store`."""
        query = "&".join(f"{key}={value}" for key, value in parameters.items())
        return f"mysql://{USER}:{QUOTED_PASSWORD}@127.0.0.1:{self.port}/{database}" + (query and f"?{query}")

    def run(self, statement: str, values: Sequence[Any] | None = None, database: str | None = None) -> Any:
        """Run a statement as the administrator; its rows."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchall()
        finally:
            connection.close()

    def connect(self, database: str | None = None) -> pymysql.Connection:
        """A connection of the administrator's, in autocommit."""
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user=ADMIN, database=database, autocommit=True, ssl_disabled=True
        )  # the driver would read all certificates of this machine for each connection, which takes 20 ms

    @property
    def certificate(self) -> Path:
        """The server's certificate, which is its own authority."""
        return self.folder / "server.pem"

    def _as_user(self) -> list[str]:
        return [f"--user={self.account}"] if os.geteuid() == 0 else []

    def _environment(self) -> dict[str, str]:
        """With a place of its own for temporary tables: a server that starts deletes what it finds there."""
        place = self.folder / "tmp"
        place.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(place, self.account)
        return {**os.environ, "TMPDIR": str(place)}

    def _install(self, data: Path) -> None:
        make_certificate(self.certificate)
        command = [
            binary("mariadb-install-db"), "--no-defaults", *self._as_user(), f"--datadir={data}", "--skip-test-db",
            "--auth-root-authentication-method=normal",
        ]  # fmt: skip
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"mariadb-install-db failed: {done.stdout[-2000:]} {done.stderr[-2000:]}")

    def _wait_until_it_answers(self, within: float = 60) -> None:
        deadline = time.monotonic() + within
        while True:
            try:
                self.connect().close()
            except pymysql.err.OperationalError:
                assert self.process is not None
                if self.process.poll() is not None or time.monotonic() > deadline:
                    log = (self.folder / "server.log").read_text(errors="replace")
                    raise AssertionError(f"mariadbd does not answer: {log[-3000:]}") from None
                time.sleep(0.05)
            else:
                return


def binary(name: str) -> str:
    """The path of a program of MariaDB's. Tests without a server fail, they are not skipped."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None:
        raise AssertionError(f"{name} is missing: apt-get install mariadb-server")
    return path


def make_certificate(path: Path) -> None:
    """A certificate for 127.0.0.1, signed by itself; the key stands beside it."""
    command = [
        "openssl", "req", "-x509", "-nodes", "-days", "2", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-subj", "/CN=tests", "-addext", "subjectAltName=IP:127.0.0.1",
        "-keyout", str(path.with_suffix(".key")), "-out", str(path),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)


def database_of(folder: Path) -> str:
    """The name of a database for each folder: what a folder is to a file."""
    return "dtm_" + hashlib.sha256(str(folder).encode()).hexdigest()[:20]
