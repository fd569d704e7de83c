"""A Galera cluster of the tests' own: MariaDB servers on loopback that hold the same rows."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import pymysql

from tests.support.mariadb import MariaDB, make_certificate
from tests.support.ports import free_port

LIBRARY = Path("/usr/lib/galera/libgalera_smm.so")


class Node(MariaDB):
    """One server of a cluster. `start()`, also after it was killed, returns when it has what it has missed."""

    account = "mysql"
    """Not root: what rsync's daemon receives as root it writes as nobody."""

    def __init__(self, folder: Path, addresses: list[str], number: int) -> None:
        address = addresses[number]
        self._addresses = addresses
        provider = f"gmcast.listen_addr=tcp://{address};ist.recv_addr=127.0.0.1:{free_port()};gcache.size=64M"
        self._options = (
            "--wsrep-on=ON", f"--wsrep-provider={LIBRARY}", f"--wsrep-provider-options={provider}",
            "--wsrep-cluster-name=dtm-tests", f"--wsrep-node-name=node{number}", f"--wsrep-node-address={address}",
            "--wsrep-sst-method=rsync", f"--wsrep-sst-receive-address=127.0.0.1:{free_port()}",
            "--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--innodb-log-file-size=16M",
        )  # fmt: skip
        super().__init__(folder)

    def start(self, *, first: bool = False) -> Node:
        """Join the others, or, as the first of all, begin a cluster."""
        self.folder.mkdir(exist_ok=True)
        self._first = first
        others = "" if first else ",".join(self._addresses)
        self.options = (*self._options, f"--wsrep-cluster-address=gcomm://{others}")
        super().start()
        return self

    def _install(self, data: Path) -> None:
        """Whoever joins gets everything from another one."""
        if self._first:
            super()._install(data)
        else:
            data.mkdir()
            make_certificate(self.certificate)
        if os.geteuid() == 0:
            for path in (self.folder, *self.folder.rglob("*")):
                shutil.chown(path, self.account)

    def _wait_until_it_answers(self, within: float = 120) -> None:
        super()._wait_until_it_answers(within)
        self.wait_until_synced(within)

    def wait_until_synced(self, within: float = 120) -> None:
        """Return when it takes part in its cluster and has all that the others have."""
        deadline = time.monotonic() + within
        while not self._synced():
            assert time.monotonic() < deadline, "the node has not caught up with its cluster"
            time.sleep(0.05)

    def _synced(self) -> bool:
        try:
            ((_, state),) = self.run("SHOW STATUS LIKE 'wsrep_local_state_comment'")
        except pymysql.err.MySQLError:
            return False
        return bool(state == "Synced")


class Galera:
    """`size` servers, in a folder that the account they run as can enter."""

    def __init__(self, size: int = 3) -> None:
        if not LIBRARY.exists():
            raise AssertionError("Galera is missing: apt-get install galera-4 rsync")
        self.folder = Path(tempfile.mkdtemp(prefix="dtm-galera-"))
        self.folder.chmod(0o755)
        addresses = [f"127.0.0.1:{free_port()}" for _ in range(size)]
        self.nodes = [Node(self.folder / f"node{number}", addresses, number) for number in range(size)]

    def start(self) -> Galera:
        """The first begins a cluster, the others join it one by one."""
        for number, node in enumerate(self.nodes):
            node.start(first=number == 0)
        return self

    def stop(self) -> None:
        """SIGTERM to those that run, and wait; nothing is left behind."""
        for node in reversed(self.nodes):
            if node.process is not None and node.process.poll() is None:
                node.stop()
        shutil.rmtree(self.folder)
