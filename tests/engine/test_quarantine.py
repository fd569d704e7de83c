"""Poison rows (invariants, I-LIVE-5): given up after three failures, shown, released by hand; the others go on."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests.support.coordinator import FAST, Coordinator
from tests.support.inside import Inside
from tests.support.mariadb import MariaDB, database_of
from tests.support.participants import Participants
from tests.support.waiting import until

ASKED = {"body": {}, "branches": [["01", "action", "", ""], ["02", 0, "", ""]]}
POISON = {
    "no-json": ("state", "no json at all"),
    "option-of-a-newer-version": ("request", json.dumps(ASKED | {"options": {"retry_wisely": True}})),
    "option-of-another-type": ("request", json.dumps(ASKED | {"options": {"retry_interval": "soon"}})),
    "custom-data": ("request", json.dumps(ASKED | {"custom_data": "{"})),
    "retry-at": ("state", json.dumps({"branches": [{"retry": "tomorrow"}, {}]})),
    "attempts": ("state", json.dumps({"branches": [{"attempts": "many"}, {}]})),
    "no-branches": ("request", json.dumps({"body": {}, "branches": 5})),
    "type-of-a-newer-version": ("trans_type", "quantum"),
}
"""gid -> the column that is spoilt, and with what."""


class SqliteFile:
    """The file behind a coordinator on SQLite."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/dtm.db"
        self._path = folder / "dtm.db"

    def spoil(self, gid: str, column: str, value: str) -> None:
        db = sqlite3.connect(self._path, timeout=10)
        db.execute(f"UPDATE dtm_transaction SET {column} = ? WHERE gid = ?", (value, gid))
        db.commit()
        db.close()


class MariaDatabase:
    """The database behind a coordinator on MariaDB."""

    def __init__(self, server: MariaDB, folder: Path) -> None:
        self._server, self._name = server, database_of(folder)
        self.url = server.url(self._name)

    def spoil(self, gid: str, column: str, value: str) -> None:
        self._server.run(f"UPDATE dtm_transaction SET {column} = %s WHERE gid = %s", (value, gid), self._name)


@pytest.fixture(params=["sqlite", "mysql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> SqliteFile | MariaDatabase:
    if request.param == "sqlite":
        return SqliteFile(tmp_path)
    return MariaDatabase(request.getfixturevalue("mariadb"), tmp_path)


def delayed(participants: Participants, gid: str) -> dict:
    """A message that waits long enough to be spoilt."""
    steps = [{"action": participants.url(gid)}, {"action": participants.url(gid)}]
    body = {"gid": gid, "trans_type": "msg", "steps": steps, "payloads": ["1", "2"]}
    return body | {"custom_data": '{"delay": 1000}'}


async def listed(inside: Inside) -> dict[str, dict]:
    """What needs attention, by gid."""
    status, page = await inside.get("all", attention=1)
    assert (status, page["next_position"]) == (200, "")
    return {each["gid"]: each for each in page["transactions"]}


async def test_poison_is_given_up_after_three_failures_and_released_by_hand(
    database: SqliteFile | MariaDatabase, tmp_path: Path, participants: Participants
) -> None:
    inside = Inside(tmp_path, store=database.url)
    await inside.start()
    for gid in (*POISON, "good"):
        assert (await inside.submit(delayed(participants, gid)))[0] == 200
    for gid, (column, value) in POISON.items():
        database.spoil(gid, column, value)
    quarantine = inside.app.passes.quarantine
    await inside.tick(sel=2000, now=2000)
    assert await inside.status("good") == "succeed"
    assert quarantine.quarantined == 0
    for _ in range(2):
        await inside.tick(sel=2000, now=2000)
    assert quarantine.quarantined == len(POISON)
    assert await inside.tick(sel=10_000, now=10_000) == 0
    shown = await listed(inside)
    assert {gid for gid, each in shown.items() if each.get("quarantined")} == set(POISON)
    assert (await inside.app.store.backlog()).quarantined == len(POISON)
    await _release(inside, database, participants)
    await inside.stop()


async def _release(inside: Inside, database: SqliteFile | MariaDatabase, participants: Participants) -> None:
    """Mended and released, a row goes on; released only, it comes back after three more failures."""
    database.spoil("no-json", "state", "{}")
    for gid in ("no-json", "type-of-a-newer-version"):
        assert (await inside.post("resetNextCronTime", {"gid": gid}))[0] == 200
    for _ in range(3):
        await inside.tick(sel=2000, now=2000)
    assert await inside.status("no-json") == "succeed"
    assert len(participants.of("no-json")) == 2
    assert set(await listed(inside)) == set(POISON) - {"no-json"}


def test_a_process_outlives_its_data_and_looks_again_after_a_restart(
    tmp_path: Path, participants: Participants
) -> None:
    database = SqliteFile(tmp_path)
    environment = {**FAST, "DTM_LEASE": "0.5"}
    with Coordinator(tmp_path, **environment) as coordinator:
        for gid in POISON:
            assert coordinator.client.post("submit", delayed(participants, gid))[0] == 200
        for gid, (column, value) in POISON.items():
            database.spoil(gid, column, value)
            database.spoil(gid, "due_at", "0")
        _until_quarantined(coordinator, set(POISON))
        good = delayed(participants, "good") | {"custom_data": "", "wait_result": True}
        assert coordinator.client.post("submit", good)[0] == 200
        assert coordinator.terminate() == 0
        database.spoil("no-json", "state", "{}")
        database.spoil("no-json", "created_at", "0")  # so its delay is over
        database.spoil("type-of-a-newer-version", "trans_type", "msg")
        coordinator.start()
        assert coordinator.client.until_final("no-json") == "succeed"
        _until_quarantined(coordinator, set(POISON) - {"no-json", "type-of-a-newer-version"})


def _until_quarantined(coordinator: Coordinator, gids: set[str]) -> None:
    def quarantined() -> set[str]:
        page = coordinator.client.get("all", attention=1)[1]["transactions"]
        return {each["gid"] for each in page if each.get("quarantined")}

    until(lambda: quarantined() == gids, within=30)
