"""A transaction keeps the version of its protocol: only a plugin that carries it may go on with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import run
from tests.support.coordinator import FAST, Coordinator
from tests.support.mariadb import database_of
from tests.support.participants import ONGOING, Participants
from tests.support.waiting import until

PLUGIN = """
import dtm

def plan(snapshot):
    tells = snapshot.op("tell")
    if dtm.ordering.all_succeeded(tells):
        return dtm.Move(dtm.Status.SUCCEED, result=f"{VERSION} carried {snapshot.version}")
    return dtm.Call(dtm.ordering.at_once(tells))

@dtm.hookimpl
def dtm_register_protocols():
    return [dtm.Protocol(
        name="notify", summary="tell", version=VERSION, carries=CARRIES, ops={"tell": dtm.Op()}, plan=plan,
        request_schema={"properties": {"url": {"type": "string"}}, "required": ["url"]},
        expand=lambda request: [dtm.Branch("01", "tell", request.body["url"])],
    )]
"""


def install(folder: Path, version: str, *carries: str) -> None:
    (folder / "notify.py").write_text(f"VERSION, CARRIES = {version!r}, {carries!r}\n{PLUGIN}")
    conf = {"plugins": {"modules": ["./notify.py"]}, "protocols": {"notify": {}}}
    (folder / "conf.yml").write_text(json.dumps(conf))


@pytest.fixture(params=["sqlite", "mysql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The url of a store of its own, on each kind of database."""
    if request.param == "sqlite":
        return "sqlite:///dtm.db"
    return request.getfixturevalue("mariadb").url(database_of(tmp_path))


def test_only_who_carries_a_version_goes_on_with_it(tmp_path: Path, store: str, participants: Participants) -> None:
    participants.default = ONGOING
    body = {"gid": "g", "trans_type": "notify", "url": participants.url("told"), "retry_interval": 1}
    arguments = ("-c", "conf.yml", "--store", store)
    install(tmp_path, "1")
    with Coordinator(tmp_path, *arguments, **FAST) as first:
        assert first.client.post("submit", {**body, "wait_result": True})[0] == 425
        assert first.terminate() == 0

    install(tmp_path, "3", "2")
    for refused in (
        run(tmp_path, "serve", "--port", "0", *arguments),
        run(tmp_path, "check", "-c", "conf.yml", "--store", DTM_STORE=store),
    ):
        assert refused.status == 2
        (line,) = refused.err.splitlines()
        assert "versions that no plugin carries: '1' of 'notify' (here: '3')" in line

    begun = len(participants.calls)
    with Coordinator(tmp_path, *arguments, "--allow-orphans", **FAST) as second:
        assert second.client.get("resetCronTime", timeout=0)[0] == 200
        until(lambda: "no version '1' of protocol 'notify' here" in second.log.read_text())
        assert second.client.post("submit", body)[0] == 400
        assert second.client.status("g") == "submitted"
        assert second.client.post("submit", {**body, "gid": "new", "wait_result": True})[0] == 425
        assert {call.gid for call in participants.calls[begun:]} == {"new"}
        assert second.terminate() == 0

    participants.default = (200, "null")
    install(tmp_path, "3", "2", "1")
    with Coordinator(tmp_path, *arguments, **FAST) as third:
        for gid, result in (("g", "3 carried 1"), ("new", "3 carried 3")):
            assert third.client.post("submit", {**body, "gid": gid, "wait_result": True})[0] in (200, 409)
            until(lambda gid=gid: third.client.status(gid) == "succeed")
            assert third.client.query(gid)["transaction"]["result"] == result
