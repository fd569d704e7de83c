"""`dtm serve --processes N`: several real processes on one port and one MariaDB, killed and told to stop under load."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import pytest

from dtm.core.errors import StartupError
from dtm.supervisor import reserve
from tests.support.coordinator import FAST, Coordinator
from tests.support.figures import Figures, scrape
from tests.support.mariadb import MariaDB, database_of
from tests.support.participants import Participants
from tests.support.ports import free_port
from tests.support.waiting import until

PROCESSES = 3


@pytest.fixture
def store(mariadb: MariaDB, tmp_path: Path) -> str:
    return mariadb.url(database_of(tmp_path))


@pytest.fixture
def several(store: str, tmp_path: Path) -> Iterator[Coordinator]:
    environment = {**FAST, "DTM_STORE": store, "DTM_LEASE": "2"}
    with Coordinator(tmp_path, "--processes", str(PROCESSES), **environment) as coordinator:
        yield coordinator
        pids = children(coordinator)
    until(lambda: not living(pids), within=30)


def children(coordinator: Coordinator) -> list[int]:
    """The children's process ids; none when the parent has ended."""
    pid = coordinator.process.pid
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(each) for each in listed.read_text().split()] if coordinator.process.poll() is None else []


def living(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def saga(participants: Participants, gid: str, **more: object) -> dict:
    step = {"action": participants.url("do"), "compensate": participants.url("undo")}
    return {"gid": gid, "trans_type": "saga", "steps": [step, step], "payloads": ["1", "2"], **more}


class Load:
    """Clients that submit sagas, and go on with the same gid until they know."""

    def __init__(self, coordinator: Coordinator, participants: Participants, clients: int) -> None:
        self._coordinator, self._participants = coordinator, participants
        self._over = threading.Event()
        self.gids: list[str] = []
        self._threads = [threading.Thread(target=self._client, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def _client(self, number: int) -> None:
        for count in range(10_000):
            if self._over.is_set():
                return
            gid = f"g{number}-{count}"
            while not self._submitted(gid):
                time.sleep(0.05)
            self.gids.append(gid)

    def _submitted(self, gid: str) -> bool:
        try:
            status, reply = self._coordinator.client.post("submit", saga(self._participants, gid))
        except (OSError, HTTPException):
            return False
        assert status in (200, 409, 500, 503), reply
        return status == 200 or (status == 409 and reply["status"] == "succeed")

    def end(self) -> list[str]:
        """Stop; what was submitted."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        return self.gids


def test_one_is_killed_under_load(several: Coordinator, participants: Participants) -> None:
    before = children(several)
    assert len(before) == PROCESSES
    load = Load(several, participants, 8)
    until(lambda: len(load.gids) > 20, within=60)
    old = Figures(scrape(several.url))
    victim = before[1]
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(children(several)) == PROCESSES and victim not in children(several), within=60)
    until(lambda: processes_of(scrape(several.url)) == {"0", "1", "2"}, within=60)
    submitted = len(load.gids)
    until(lambda: len(load.gids) > submitted + 20, within=60)
    gids = load.end()
    for gid in gids:
        assert several.client.until_final(gid, within=60) == "succeed"
        assert {call for call in participants.of(gid) if call.startswith("action")} == {
            "action 01 POST do",
            "action 02 POST do",
        }
    assert_figures_are_right(Figures(scrape(several.url)), old, len(gids))
    assert several.terminate() == 0
    log = [json.loads(line) for line in several.log.read_text().splitlines()]
    (told,) = [line["message"] for line in log if line["logger"] == "dtm.supervisor"]
    assert told.startswith(f"process 1 (pid {victim}) ended with status -9; started again in ")
    assert sum(line["message"] == "stopped" for line in log) == PROCESSES


def processes_of(page: str) -> set[str]:
    return {sample.labels["process"] for sample in Figures(page).families["dtm_node_info"].samples}


def assert_figures_are_right(now: Figures, old: Figures, submitted: int) -> None:
    """Each process has figures of its own; those of the living went on, those of the new one began again."""
    name = "dtm_transactions_created_total"
    created = [now.total(name, process=str(index)) for index in range(PROCESSES)]
    assert created[0] >= old.total(name, process="0")
    assert created[2] >= old.total(name, process="2")
    assert 0 < sum(created) <= submitted
    nodes = {sample.labels["node"] for sample in now.families["dtm_node_info"].samples}
    assert len(nodes) == PROCESSES
    assert now.total("process_resident_memory_bytes", process="1") > 1_000_000
    assert [sample.labels for sample in now.families["dtm_due"].samples] == [{}]
    assert now.total("dtm_unfinished") == 0


def test_a_signal_drains_them_all(several: Coordinator, participants: Participants) -> None:
    participants.delay("do", 1.0)
    bodies = [saga(participants, f"w{number}", wait_result=True) for number in range(12)]
    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = [pool.submit(several.client.post, "submit", body) for body in bodies]
        until(lambda: len(participants.calls) >= len(bodies), within=60)
        pids = children(several)
        for pid in pids:  # as systemd does it: everybody hears it, the children twice
            os.kill(pid, signal.SIGTERM)
        assert several.terminate() == 0
        assert {answer.result()[0] for answer in answers} <= {200, 409, 425}
    assert not living(pids)


def test_a_second_signal_ends_them_at_once(several: Coordinator, participants: Participants) -> None:
    participants.delay("do", 20)
    for number in range(6):
        assert several.client.post("submit", saga(participants, f"g{number}", request_timeout=30))[0] == 200
    until(lambda: len(participants.calls) >= 6, within=60)
    pids = children(several)
    several.process.send_signal(signal.SIGTERM)
    until(lambda: several.log.read_text().count("draining") == PROCESSES, within=60)
    assert several.terminate() == 1
    assert not living(pids)


def test_children_do_not_outlive_a_parent_that_is_killed(several: Coordinator, participants: Participants) -> None:
    pids = children(several)
    several.kill()
    until(lambda: not living(pids), within=30)


def test_a_child_told_to_stop_is_replaced(several: Coordinator) -> None:
    pid = children(several)[0]
    os.kill(pid, signal.SIGTERM)
    until(lambda: len(children(several)) == PROCESSES and pid not in children(several), within=60)
    until(lambda: processes_of(scrape(several.url)) == {"0", "1", "2"}, within=60)


def refused(folder: Path, *arguments: str) -> str:
    """What `dtm serve` says that cannot start: one line, and status 2."""
    command = [sys.executable, "-m", "dtm.cli", "serve", "--processes", "2", *arguments]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, ended.stderr
    return lines[0]


@pytest.mark.parametrize("place", ["sqlite:///dtm.db", "memory://"])
def test_a_store_of_one_process_is_refused(tmp_path: Path, place: str) -> None:
    assert re.match("dtm: processes: .*mysql://", refused(tmp_path, "--store", place))


def test_what_all_of_them_would_say_is_said_once(tmp_path: Path) -> None:
    line = refused(tmp_path, "--store", f"mysql://nobody@127.0.0.1:{free_port()}/nothing", "--port", "0")
    assert line.startswith("dtm: store mysql://")


def test_one_port_is_held_on_every_address_of_a_name() -> None:
    held = reserve("localhost", 0)
    ports = {each.getsockname()[1] for each in held}
    assert len(ports) == 1
    with pytest.raises(StartupError, match=r"cannot listen on host\.invalid:0"):
        reserve("host.invalid", 0)
    for each in held:  # nobody listens there: a connection is refused
        with socket.socket(each.family) as client, pytest.raises(ConnectionRefusedError):
            client.connect(each.getsockname())
        each.close()


def test_a_port_that_somebody_has(tmp_path: Path, store: str) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        port = str(taken.getsockname()[1])
        assert f"cannot listen on 127.0.0.1:{port}" in refused(tmp_path, "--store", store, "--port", port)
