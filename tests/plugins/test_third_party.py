"""A stranger's protocol in one file, in a real coordinator: it works like a built-in, and its absence is noticed."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.coordinator import FAST, Coordinator
from tests.support.participants import ERROR, ONGOING, Participants, failure
from tests.support.waiting import until

PLUGIN = Path(__file__).parents[2] / "examples" / "plugins" / "broadcast.py"
NAMES = [f"s{number}" for number in range(1, 6)]


def conf(folder: Path, name: str = "conf.yml", **protocols: object) -> str:
    """A configuration with the plugin loaded and these protocols named; the file's name."""
    (folder / "broadcast.py").write_text(PLUGIN.read_text())
    content = {"plugins": {"modules": ["./broadcast.py"]}, "protocols": protocols}
    (folder / name).write_text(json.dumps(content))
    return name


def dtm(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dtm.cli", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Coordinator]:
    with Coordinator(tmp_path, "-c", conf(tmp_path, broadcast={"quorum": 60}), **FAST) as process:
        yield process


def broadcast(participants: Participants, gid: str, **more: object) -> dict:
    urls = [participants.url(name) for name in NAMES]
    return {"gid": gid, "trans_type": "broadcast", "subscribers": urls, "payload": '{"news":1}', **more}


def saga(participants: Participants, gid: str, **more: object) -> dict:
    steps = [{"action": participants.url("do"), "compensate": participants.url("undo")}]
    return {"gid": gid, "trans_type": "saga", "steps": steps, "payloads": ["{}"], **more}


def test_it_uses_the_public_api_alone() -> None:
    imported = [
        node for node in ast.walk(ast.parse(PLUGIN.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    names = {alias.name for node in imported for alias in node.names}
    assert names == {"annotations", "dtm"}


def test_a_quorum_is_enough(coordinator: Coordinator, participants: Participants) -> None:
    """60 % of five: two may err for ever. Those that were not called yet when the third agreed are let go."""
    for name in ("s2", "s5"):
        participants.answer(name, ERROR)
    assert coordinator.client.post("submit", broadcast(participants, "g", wait_result=True))[0] == 200
    assert set(participants.of("g")) <= {f"announce 000{n} POST s{n}" for n in range(1, 6)}
    assert len(participants.of("g")) in (3, 4, 5)
    transaction = coordinator.client.query("g")["transaction"]
    assert (transaction["status"], transaction["result"]) == ("succeed", "3 of 5")


def test_without_a_quorum_it_is_taken_back(coordinator: Coordinator, participants: Participants) -> None:
    for name in ("s1", "s3", "s4"):
        participants.answer(name, failure("not interested"))
    status, said = coordinator.client.post("submit", broadcast(participants, "g", wait_result=True))
    assert (status, said["message"]) == (409, "at most 2 of 3 take note FAILURE")
    heard = {call.branch_id for call in participants.seen("g") if call.op == "announce"}
    assert heard >= {"0001", "0003", "0004"}
    assert {call.branch_id for call in participants.seen("g") if call.op == "retract"} == heard
    assert len(participants.calls) == 2 * len(heard)
    assert coordinator.client.status("g") == "failed"


def test_a_client_may_abort_it(coordinator: Coordinator, participants: Participants) -> None:
    for name in NAMES[:3]:
        participants.answer(name, ONGOING)
    coordinator.client.post("submit", broadcast(participants, "g", wait_result=True, retry_interval=30))
    assert coordinator.client.post("abort", {"gid": "g", "trans_type": "broadcast"}, wait_result=1)[0] == 200
    assert coordinator.client.status("g") == "failed"
    assert {call.branch_id for call in participants.seen("g") if call.op == "retract"} == {
        f"000{n}" for n in range(1, 6)
    }


def test_beside_the_built_ins(coordinator: Coordinator, participants: Participants) -> None:
    bodies = [
        make(participants, f"{make.__name__}-{n}", wait_result=True) for n in range(20) for make in (saga, broadcast)
    ]
    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(lambda body: coordinator.client.post("submit", body), bodies))
    assert answers == [(200, {"dtm_result": "SUCCESS"})] * len(bodies)
    assert 20 + 20 * 3 <= len(participants.calls) <= 20 + 20 * 5


def test_its_own_schemas_are_kept(coordinator: Coordinator, participants: Participants) -> None:
    good = broadcast(participants, "g")
    for change, pointer in [
        ({"subscribers": []}, "/subscribers"),
        ({"subscribers": None}, "/subscribers"),
        ({"subscribers": [participants.url("a"), ""]}, "/subscribers/1"),
        ({"subscribers": [participants.url("a"), "ftp://a.example/"]}, "/subscribers/1"),
        ({"payload": {}}, "/payload"),
    ]:
        status, said = coordinator.client.post("submit", {**good, **change})
        assert (status, said["errors"][0]["pointer"]) == (400, pointer)
    for verb in ("prepare", "registerBranch"):
        status, said = coordinator.client.post(verb, {**good, "branch_id": "1"})
        assert (status, said["errors"][0]["pointer"]) == (400, "/trans_type")
    assert coordinator.client.query("g")["transaction"] is None


def test_loaded_is_not_enabled(tmp_path: Path, participants: Participants) -> None:
    name = conf(tmp_path)
    with Coordinator(tmp_path, "-c", name, **FAST) as coordinator:
        status, said = coordinator.client.post("submit", broadcast(participants, "g"))
        assert (status, said["errors"][0]["pointer"]) == (400, "/trans_type")
        assert coordinator.client.get("all")[1]["transactions"] == []
    assert participants.calls == []


def test_it_is_listed(tmp_path: Path) -> None:
    for name, switch in [
        (conf(tmp_path, "on.yml", broadcast={}), "enabled"),
        (conf(tmp_path, "off.yml"), "not enabled"),
    ]:
        listed = dtm(tmp_path, "protocols", "-c", name)
        assert (listed.returncode, listed.stderr) == (0, "")
        titles = [" ".join(line.split()[:4]) for line in listed.stdout.splitlines()]
        assert any(title.startswith(f"broadcast 1 {switch}") for title in titles)
        assert any(title.startswith("saga 1 enabled") for title in titles)


@pytest.mark.parametrize("settings", [{"quorum": 0}, {"quorum": "all"}, {"quorums": 60}])
def test_its_settings_are_checked(tmp_path: Path, settings: dict) -> None:
    refused = dtm(tmp_path, "serve", "--port", "0", "-c", conf(tmp_path, broadcast=settings))
    assert (refused.returncode, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"dtm: protocols.broadcast: /{next(iter(settings))}: ")


def test_its_transactions_outlive_its_absence(tmp_path: Path, participants: Participants) -> None:
    """Without it the node refuses to start, or, told so, leaves them alone; with it again they end."""
    for name in NAMES:
        participants.answer(name, *[ONGOING] * 2)
    with Coordinator(tmp_path, "-c", conf(tmp_path, broadcast={}), **FAST) as enabled:
        for gid in ("g", "stopped"):
            assert (
                enabled.client.post("submit", broadcast(participants, gid, wait_result=True, retry_interval=30))[0]
                == 425
            )
        assert enabled.terminate() == 0
    begun = participants.of("g") + participants.of("stopped")
    assert len(begun) == 2 * len(NAMES)

    conf(tmp_path, "without.yml")
    refused = dtm(tmp_path, "serve", "--port", "0", "-c", "without.yml")
    assert (refused.returncode, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert "2 of 'broadcast'" in line
    assert "--allow-orphans" in line

    with Coordinator(tmp_path, "-c", "without.yml", "--allow-orphans", **FAST) as disabled:
        assert disabled.client.get("resetCronTime", timeout=0)[1]["succeed_count"] == 2
        assert disabled.client.post("submit", saga(participants, "saga", wait_result=True))[0] == 200
        for gid in ("g", "stopped"):
            until(lambda gid=gid: f"cannot be run: gid={gid}: no protocol 'broadcast' here" in disabled.log.read_text())
            assert disabled.client.status(gid) == "submitted"
        assert disabled.client.post("abort", {"gid": "g"})[0] == 400
        assert disabled.client.post("submit", broadcast(participants, "g"))[0] == 400
        assert disabled.client.post("forceStop", {"gid": "stopped"})[0] == 200
        assert disabled.terminate() == 0
    assert participants.of("g") + participants.of("stopped") == begun

    with Coordinator(tmp_path, "-c", "conf.yml", **FAST) as enabled:
        assert enabled.client.post("submit", broadcast(participants, "g", wait_result=True))[0] == 200
        assert enabled.client.query("g")["transaction"]["result"] == "5 of 5"
        assert enabled.client.status("stopped") == "failed"
    assert participants.of("stopped") == begun[len(NAMES) :]
