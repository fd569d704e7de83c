"""Nodes whose clocks and time zones differ by hours: only the database's clock counts between them (I-TIME-1 to 4)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, saga
from tests.support.mariadb import MariaDB, database_of
from tests.support.participants import OK, ONGOING, Participants

EARLY = 0.05
"""Seconds by which a node may think it later than it is: the way of the answer that told it the time, and rounding."""
LATE = 60
"""Seconds after which something is late on the busiest machine, and hours off is far from."""


def wrong_by(seconds: int, zone: str) -> dict[str, str]:
    """What makes a process believe in another date and zone; its monotonic clocks stay right."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    assert library is not None, "the tests need libfaketime: apt-get install faketime"
    return {"LD_PRELOAD": str(library), "FAKETIME": f"{seconds:+d}", "TZ": zone, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@pytest.fixture
def nodes(mariadb: MariaDB, tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes: an hour late in New York, right in UTC, an hour early in Chatham."""
    clocks = {"a": wrong_by(-3600, "America/New_York"), "c": wrong_by(3600, "Pacific/Chatham")}
    with Cluster(tmp_path, mariadb.url(database_of(tmp_path)), clocks) as cluster:
        yield cluster


def date_of(nodes: Cluster, name: str) -> float:
    """When this node believes to have answered: Unix time."""
    connection = HTTPConnection(nodes[name].address, timeout=LATE)
    connection.request("GET", "/healthz")
    date = connection.getresponse().headers["Date"]
    connection.close()
    return parsedate_to_datetime(date).timestamp()


def moment(shown: str) -> float:
    """A time as replies show it, as Unix time."""
    return datetime.fromisoformat(shown).timestamp()


def saga_longer_than_its_lease(nodes: Cluster, participants: Participants, gid: str, at: str) -> None:
    """Its lease is renewed, and believed in by the others: each call is made once."""
    assert nodes[at].post("submit", saga(participants, gid, "slow", "slow"), wait_result=1)[0] == 200
    assert participants.of(gid) == ["action 01 POST slow", "action 02 POST slow"]


def tcc_that_times_out(nodes: Cluster, participants: Participants, gid: str, at: str) -> None:
    """Not before its time by the database's clock, whoever created it and whoever notices."""
    began = time.time()
    assert nodes[at].post("prepare", {"gid": gid, "trans_type": "tcc", "timeout_to_fail": 3})[0] == 200
    urls = {"confirm": participants.url("confirm"), "cancel": participants.url("cancel"), "data": "{}"}
    registration = {"gid": gid, "trans_type": "tcc", "branch_id": "01", **urls}
    assert nodes.any().post("registerBranch", registration)[0] == 200
    while (shown := nodes.any().query(gid)["transaction"])["status"] == "prepared":
        noticed = time.time()
        time.sleep(0.02)
    assert noticed > began + 3 - EARLY
    assert abs(moment(shown["create_time"]) - began) < LATE
    assert nodes.any().until_final(gid) == "failed"
    assert participants.of(gid) == ["cancel 01 POST cancel"]


def message_with_a_delay(nodes: Cluster, participants: Participants, gid: str, at: str) -> None:
    """Delivered when its delay is over by the database's clock, not before (I-MSG-2), nor hours later."""
    arrived: list[float] = []
    participants.answer(gid, lambda seen: arrived.append(time.time()) or OK)
    body = {"gid": gid, "trans_type": "msg", "steps": [{"action": participants.url(gid)}], "payloads": ["{}"]}
    began = time.time()
    assert nodes[at].post("submit", {**body, "custom_data": json.dumps({"delay": 2})})[0] == 200
    assert nodes.any().until_final(gid, within=LATE) == "succeed"
    assert began + 2 - EARLY < arrived[0]
    assert len(arrived) == 1


def message_tried_again(nodes: Cluster, participants: Participants, gid: str, at: str) -> None:
    """The interval after an ONGOING is kept, whoever makes the next try."""
    arrived: list[float] = []
    participants.answer(gid, *[lambda seen: arrived.append(time.time()) or ONGOING] * 3)
    body = {"gid": gid, "trans_type": "msg", "steps": [{"action": participants.url(gid)}], "payloads": ["{}"]}
    assert nodes[at].post("submit", {**body, "retry_interval": 1})[0] == 200
    assert nodes.any().until_final(gid, within=LATE) == "succeed"
    assert all(then - first > 0.9 - EARLY for first, then in pairwise(arrived))  # a wait is up to a tenth shorter
    assert len(participants.seen(gid)) == 4


def test_wrong_clocks(nodes: Cluster, participants: Participants, gid: Callable[[], str]) -> None:
    assert [round((date_of(nodes, name) - time.time()) / 3600) for name in "abc"] == [-1, 0, 1]
    participants.delay("slow", 2.9)
    plays = (saga_longer_than_its_lease, tcc_that_times_out, message_with_a_delay, message_tried_again)
    with ThreadPoolExecutor(3 * len(plays)) as pool:
        played = [pool.submit(play, nodes, participants, gid(), at) for play in plays for at in nodes.nodes]
        for each in played:
            each.result()
