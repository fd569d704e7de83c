"""What docs/deployment.md says to write into files works: the unit, the grants, two nodes behind haproxy, a restore."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.client import Client
from tests.support.command import run
from tests.support.coordinator import FAST, Coordinator
from tests.support.mariadb import MariaDB
from tests.support.participants import ERROR, Participants
from tests.support.ports import free_port
from tests.support.waiting import until

PAGE = (Path(__file__).parents[2] / "docs" / "deployment.md").read_text()
BLOCKS = dict(re.findall(r"^```\w+\n([^\n]*)(\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))

TO_BE_REPEATED = {None, 425, 500, 502, 503, 504}
"""What tells a client nothing but to repeat its request; 425: it goes on, None: no answer."""


def block(first_line: str) -> str:
    """A block of the page, by its first line."""
    return first_line + BLOCKS[first_line]


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    unit = tmp_path / "dtm.service"
    program = Path(sys.executable).parent / "dtm"
    unit.write_text(block("# dtm.service").replace("/opt/dtm/bin/dtm", str(program)))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False, timeout=60)
    said = [line for line in done.stderr.splitlines() if "dtm.service" in line]
    assert (done.returncode, said) == (0, [])


def test_the_configuration_of_a_node_is_one_that_dtm_takes(tmp_path: Path) -> None:
    (tmp_path / "conf.yml").write_text(block("# conf.yml"))
    assert run(tmp_path, "check", "-c", "conf.yml").status == 0


def test_a_node_that_only_looks_at_a_restored_back_up(tmp_path: Path, participants: Participants) -> None:
    step = {"action": participants.url("step"), "compensate": ""}
    participants.answer("step", *[ERROR] * 1000)
    with Coordinator(tmp_path, **FAST) as node:
        saga = {"gid": "s", "trans_type": "saga", "steps": [step], "payloads": ["{}"], "timeout_to_fail": 1}
        node.client.post("submit", saga)
        node.client.post("prepare", {"gid": "t", "trans_type": "tcc", "timeout_to_fail": 1})
        with (
            closing(sqlite3.connect(tmp_path / "dtm.db")) as live,
            closing(sqlite3.connect(tmp_path / "copy.db")) as copy,
        ):
            live.backup(copy)
        node.terminate()  # so that no call is on its way any more
    called = len(participants.calls)
    (tmp_path / "looking.yml").write_text(block("# looking.yml"))
    looking = ("-c", "looking.yml", "--allow-orphans", "--store", "sqlite:///copy.db")
    with Coordinator(tmp_path, *looking, **FAST) as node:
        time.sleep(2)  # time-outs and retries would have come by now
        assert [node.client.status(gid) for gid in "st"] == ["submitted", "prepared"]
        assert [node.client.post("forceStop", {"gid": gid})[0] for gid in "st"] == [200, 200]
        assert [node.client.status(gid) for gid in "st"] == ["failed", "failed"]
    assert len(participants.calls) == called


@pytest.fixture
def store(mariadb: MariaDB) -> str:
    """The database as the page says to make it, and its address; TLS is wanted."""
    name, password = "dtm_deployment", "change-me"
    script = block("CREATE DATABASE dtm CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;")
    for statement in re.sub(r"\bdtm\b", name, script).strip().rstrip(";").split(";\n"):
        mariadb.run(statement)
    return f"mysql://{name}:{password}@127.0.0.1:{mariadb.port}/{name}?ssl_ca={quote(str(mariadb.certificate))}"


@pytest.fixture
def nodes(store: str, tmp_path: Path) -> Iterator[list[Coordinator]]:
    """Nodes a and b."""
    made = [Coordinator(tmp_path / name, **FAST, DTM_STORE=store) for name in "ab"]
    for node in made:
        node.folder.mkdir()
        node.start()
    yield made
    for node in made:
        node.kill()


@pytest.fixture
def balancer(nodes: list[Coordinator], tmp_path: Path) -> Iterator[str]:
    """haproxy in front of them, as the page says; its address."""
    program = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    assert program, "haproxy is missing: apt-get install haproxy"
    port = free_port()
    text = block("# haproxy.cfg").replace("36789", str(port))
    for usual, node in zip(("36790", "36791"), nodes, strict=True):
        assert usual in text
        text = text.replace(usual, str(node.port))
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(text)
    checked = subprocess.run([program, "-c", "-f", configuration], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    with subprocess.Popen([program, "-db", "-f", configuration], stderr=subprocess.DEVNULL) as process:
        address = f"http://127.0.0.1:{port}"
        try:
            until(lambda: ask(address, "GET", "/readyz")[0] == 200, within=30)
            yield address
        finally:
            process.terminate()


def ask(address: str, method: str, path: str, body: object = None) -> tuple[int | None, bytes]:
    """Status and body of an answer; (None, b"") when there was none."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    try:
        connection.request(method, path, json.dumps(body))
        reply = connection.getresponse()
        return reply.status, reply.read()
    except (OSError, http.client.HTTPException):
        return None, b""
    finally:
        connection.close()


class Clients:
    """Four clients that submit one saga after the other and repeat what they have to, until told to stop."""

    def __init__(self, address: str, participants: Participants) -> None:
        self.address = address
        self.url = participants.url("step")
        self.done: list[str] = []
        self.heard: Counter[int | None] = Counter()
        self.strange: list[tuple[int | None, bytes]] = []
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(4)
        self._running = [self._pool.submit(self._work, number) for number in range(4)]

    def stop(self) -> None:
        self._stop.set()
        for each in self._running:
            each.result(timeout=60)

    def _work(self, number: int) -> None:
        count = 0
        while not self._stop.is_set():
            self._submit(f"{number}-{count}")
            count += 1

    def _submit(self, gid: str) -> None:
        saga = {"gid": gid, "trans_type": "saga", "steps": [{"action": self.url}] * 2, "payloads": ["{}"] * 2}
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            status, text = ask(self.address, "POST", "/api/dtmsvr/submit", {**saga, "wait_result": True})
            self.heard[status] += 1
            if status == 200 or (status == 409 and json.loads(text)["status"] == "succeed"):
                self.done.append(gid)
                return
            if status not in TO_BE_REPEATED:
                self.strange.append((status, text))
            time.sleep(0.05)
        self.strange.append((None, f"{gid} was repeated for a minute".encode()))


def test_clients_of_two_nodes_behind_haproxy_hear_nothing_worse_than_that_they_must_repeat(
    nodes: list[Coordinator], balancer: str, participants: Participants
) -> None:
    a, b = nodes
    clients = Clients(balancer, participants)

    def go_on() -> None:
        """Wait until forty more have been done."""
        sofar = len(clients.done)
        until(lambda: len(clients.done) >= sofar + 40, within=60)

    go_on()
    a.kill()
    go_on()
    a.start()
    until(lambda: ask(a.url, "GET", "/readyz")[0] == 200, within=30)
    go_on()
    assert b.terminate() == 0
    go_on()
    clients.stop()
    assert clients.strange == []
    assert clients.heard[200] >= 160
    assert [gid for gid in clients.done if Client(a.url).status(gid) != "succeed"] == []
    called = Counter((call.gid, call.branch_id) for call in participants.calls)
    assert {gid for gid, _ in called} == set(clients.done)
