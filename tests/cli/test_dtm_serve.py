"""`dtm serve`: what it refuses, what it says, how it ends."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support.command import Ran
from tests.support.coordinator import FAST, Coordinator
from tests.support.participants import Participants


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def refusals(ran: Ran) -> list[str]:
    """The lines on stderr; nothing on stdout, exit status 2, no traceback."""
    assert (ran.status, ran.out) == (2, "")
    lines = ran.err.splitlines()
    assert all(line.startswith("dtm: ") for line in lines)
    return [line.removeprefix("dtm: ") for line in lines]


@pytest.mark.parametrize(
    "store", ["oracle://scott:tiger@db/x", "dtm.db", "sqlite:///", "memory://x", "sqlite:///x?y=1"]
)
def test_a_store_that_is_none(dtm: Callable[..., Ran], store: str) -> None:
    (said,) = refusals(dtm("serve", "--port", "0", "--store", store))
    assert said.startswith("store: ")
    assert "expected sqlite:///FILE" in said
    assert "tiger" not in said


def test_a_directory_that_is_missing(dtm: Callable[..., Ran], tmp_path: Path) -> None:
    (said,) = refusals(dtm("serve", "--port", "0", "--store", "sqlite:///none/dtm.db"))
    assert said == f"store {tmp_path}/none/dtm.db: the directory {tmp_path}/none does not exist"


def test_a_file_that_is_no_database(dtm: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "dtm.db").write_text("These are not the bytes of a database, but long enough to look at." * 20)
    assert refusals(dtm("serve", "--port", "0")) == [f"store {tmp_path}/dtm.db: file is not a database"]


def test_a_port_that_is_taken(dtm: Callable[..., Ran], taken: int) -> None:
    (said,) = refusals(dtm("serve", "--port", str(taken)))
    assert said.startswith(f"cannot listen on 127.0.0.1:{taken}: ")
    assert "Address already in use" in said


def test_a_second_process_on_the_same_file(tmp_path: Path, dtm: Callable[..., Ran]) -> None:
    with Coordinator(tmp_path):
        (said,) = refusals(dtm("serve", "--port", "0"))
        assert said == f"store {tmp_path}/dtm.db: another process has it open (it holds {tmp_path}/dtm.db.lock)"
    with Coordinator(tmp_path) as coordinator:  # killed, it left no lock behind
        assert coordinator.client.request("GET", "/healthz") == (200, {"status": "ok"})


def test_listening_elsewhere_wants_auth_and_callbacks(dtm: Callable[..., Ran]) -> None:
    auth, callbacks = refusals(dtm("serve", "--host", "0.0.0.0"))
    assert auth.startswith("host: listening on 0.0.0.0 needs auth: ")
    assert callbacks.startswith("host: listening on 0.0.0.0 needs callbacks.allow: ")


def test_unfinished_transactions_of_a_protocol_that_is_off(tmp_path: Path, dtm: Callable[..., Ran]) -> None:
    with Coordinator(tmp_path) as coordinator:
        assert coordinator.client.post("prepare", {"gid": "g", "trans_type": "tcc"})[0] == 200
        assert coordinator.terminate() == 0
    off = {"DTM_PROTOCOLS": '{"tcc": false}'}
    (said,) = refusals(dtm("serve", "--port", "0", **off))
    assert "1 of 'tcc'" in said
    assert "--allow-orphans" in said
    with Coordinator(tmp_path, "--allow-orphans", **off) as coordinator:
        assert coordinator.client.status("g") == "prepared"


def test_it_says_when_it_is_ready_and_only_that_on_stdout(coordinator: Coordinator) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*", coordinator.url)
    assert coordinator.client.get("version") == (200, {"version": f"v{version('dtm-coordinator')}"})
    assert coordinator.process is not None
    coordinator.process.send_signal(signal.SIGTERM)
    assert coordinator.process.stdout.read() == b""
    assert coordinator.process.wait(30) == 0


def test_logs_are_json_lines_on_stderr(coordinator: Coordinator) -> None:
    coordinator.client.get("query", gid="none")
    coordinator.client.post("submit", {"gid": 1})
    assert coordinator.terminate() == 0
    lines = [json.loads(line) for line in coordinator.log.read_text().splitlines()]
    assert [line["message"].partition(":")[0] for line in lines] == ["started", "draining", "stopped"]
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["time"])
        assert (line["level"], line["logger"]) == ("info", "dtm")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_calls_land_and_a_second_one_does_not(
    tmp_path: Path, participants: Participants, signum: signal.Signals
) -> None:
    participants.delay("Slow", 20)
    steps = [{"action": participants.url("Slow"), "compensate": ""}]
    saga = {"gid": "g", "trans_type": "saga", "steps": steps, "payloads": ["{}"], "request_timeout": 60}
    with Coordinator(tmp_path, **FAST) as coordinator:
        coordinator.client.post("submit", saga)
        while not participants.of("g"):
            time.sleep(0.01)
        process = coordinator.process
        process.send_signal(signum)
        while "draining" not in coordinator.log.read_text():  # two signals in one breath would arrive as one
            time.sleep(0.01)
        assert process.poll() is None
        process.send_signal(signum)
        assert process.wait(30) == 1
