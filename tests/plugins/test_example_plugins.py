"""The example distributions, in a real coordinator. (`make wheel` installs them into an empty environment.)"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import environment, run
from tests.support.coordinator import FAST, Coordinator
from tests.support.participants import ERROR, ONGOING, Participants, failure
from tests.support.waiting import until

FOLDER = Path(__file__).parents[2] / "examples" / "plugins"
NAMES = ["quorum", "escalation"]
FOUND = os.pathsep.join(str(FOLDER / f"dtm-{name}") for name in NAMES)
MODULES = [f"dtm_{name}" for name in NAMES]


def conf(folder: Path, **protocols: Any) -> None:
    content = {"plugins": {"modules": MODULES}, "protocols": protocols}
    (folder / "conf.yml").write_text(json.dumps(content))


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Coordinator]:
    conf(tmp_path, quorum={}, escalation={"patience": 1})
    with Coordinator(tmp_path, "-c", "conf.yml", PYTHONPATH=FOUND, **FAST) as process:
        yield process


@pytest.mark.parametrize("name", NAMES)
def test_it_uses_the_public_api_alone(name: str) -> None:
    for path in (FOLDER / f"dtm-{name}").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        imported |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        tests = {"dtm.testing", "pytest", f"dtm_{name}"} if path.parent.name == "tests" else set()
        assert imported <= {"__future__", "collections.abc", "json", "pathlib", "dtm"} | tests


@pytest.mark.parametrize("name", NAMES)
def test_its_own_tests_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # it would double the time of examinations
    folder = FOLDER / f"dtm-{name}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:pytest_tornado"]
    done = subprocess.run(
        command, check=False, cwd=folder, env=environment(PYTHONPATH=str(folder)), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_they_are_loaded_and_not_enabled(tmp_path: Path) -> None:
    conf(tmp_path)
    listed = run(tmp_path, "protocols", "-c", "conf.yml", PYTHONPATH=FOUND)
    for name in NAMES:
        assert f"{name} 1  not enabled  dtm_{name}\n" in listed.out


def test_without_them_what_names_them_is_refused(tmp_path: Path) -> None:
    (tmp_path / "conf.yml").write_text("protocols: {quorum: {}}")
    refused = run(tmp_path, "serve", "-c", "conf.yml")
    assert (refused.status, refused.err) == (2, "dtm: protocols.quorum: no plugin provides this protocol\n")


def quorum(participants: Participants, gid: str, **more: Any) -> dict[str, Any]:
    suppliers = [{"reserve": participants.url(name), "release": participants.url(f"{name}-undo")} for name in "abc"]
    return {"gid": gid, "trans_type": "quorum", "suppliers": suppliers, "need": 2, "payload": "{}", **more}


def test_two_of_three_are_reserved_although_it_was_killed_half_way(
    coordinator: Coordinator, participants: Participants
) -> None:
    participants.answer("b", *[ONGOING] * 5)
    participants.answer("c", *[ERROR] * 1000)
    assert coordinator.client.post("submit", quorum(participants, "g"))[0] == 200
    until(lambda: {call.branch_id for call in participants.seen("g")} == {"01", "02", "03"})
    assert coordinator.client.status("g") == "prepared"
    coordinator.kill()
    coordinator.start()
    assert coordinator.client.until_final("g") == "succeed"
    assert coordinator.client.query("g")["transaction"]["result"] == "01 02"
    assert {call.path for call in participants.seen("g") if call.op == "release"} == {"c-undo"}


def test_a_refusal_is_none_of_the_callers_business_as_long_as_enough_may_agree(
    coordinator: Coordinator, participants: Participants
) -> None:
    participants.answer("b", *[ONGOING] * 1000)
    participants.answer("c", failure("no"))
    participants.delay("c", 0.2)
    waiting = quorum(participants, "g", wait_result=True, retry_interval=30)
    assert coordinator.client.post("submit", waiting) == (425, {"dtm_result": "ONGOING", "message": "ONGOING"})
    assert coordinator.client.post("submit", quorum(participants, "g"))[0] == 200  # the same again
    assert coordinator.client.post("abort", {"gid": "g"}, wait_result=1)[0] == 200
    assert coordinator.client.post("submit", quorum(participants, "g"))[1]["status"] == "failed"


def test_more_than_there_are_cannot_be_needed(coordinator: Coordinator, participants: Participants) -> None:
    for need, said in [(4, "expected at most 3, for so many suppliers are named"), (0, "expected at least 1")]:
        status, answer = coordinator.client.post("submit", quorum(participants, "g", need=need))
        assert (status, answer["errors"]) == (400, [{"pointer": "/need", "message": said}])
    assert coordinator.client.query("g")["transaction"] is None


def test_ben_is_told_when_anna_does_not_acknowledge_and_once_he_has_it_is_withdrawn_from_her(
    coordinator: Coordinator, participants: Participants
) -> None:
    client = coordinator.client
    body = {"gid": "flood", "trans_type": "escalation"}
    assert client.post("submit", body)[0] == 404
    assert client.post("prepare", body)[0] == 200
    for name in ("anna", "ben", "cleo"):
        urls = {"tell": participants.url(name), "withdraw": participants.url(f"{name}-never-mind")}
        assert client.post("registerBranch", {**body, "branch_id": name, **urls})[0] == 200
    until(lambda: "tell ben GET ben" in participants.of("flood"))
    acknowledged = {**body, "custom_data": '{"by": "ben"}', "wait_result": True}
    assert client.post("submit", acknowledged)[0] == 200
    told = [call for call in participants.of("flood") if call.startswith("tell")]
    assert told[:2] == ["tell anna GET anna", "tell ben GET ben"]
    withdrawn = {call.branch_id for call in participants.seen("flood") if call.op == "withdraw"}
    assert withdrawn == {"anna"} | ({"cleo"} if len(told) == 3 else set())
