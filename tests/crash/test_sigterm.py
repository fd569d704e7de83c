"""SIGTERM of a real coordinator under load: it answers whom it owes an answer, parks the rest and loses nothing."""

from __future__ import annotations

import http.client
import json
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.coordinator import FAST, Coordinator
from tests.support.ledger import Ledger
from tests.support.participants import Participants
from tests.support.waiting import until

WAITERS = 20


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2 * WAITERS) as executor:
        yield executor


def held(folder: Path) -> list[tuple]:
    """Rows that nobody has let go of, or that leave in doubt what was called."""
    with closing(sqlite3.connect(folder / "dtm.db")) as db:
        return db.execute("SELECT gid, owner, doubt FROM dtm_transaction WHERE owner <> '' OR doubt").fetchall()


def saga(gid: str, *names: str, participants: Participants, **more: object) -> dict:
    steps = [{"action": participants.url(name), "compensate": participants.url(f"{name}-undo")} for name in names]
    payloads = [json.dumps({"account": name, "amount": 1}) for name in names]
    return {"gid": gid, "trans_type": "saga", "steps": steps, "payloads": payloads, **more}


def test_waiting_clients_are_answered(tmp_path: Path, participants: Participants, pool: ThreadPoolExecutor) -> None:
    """Calls in flight land within the grace: their clients hear of it; what was not begun is begun after a restart."""
    participants.delay("slow", 0.5)
    with Coordinator(tmp_path, DTM_SHUTDOWN_GRACE="5", **FAST) as coordinator:
        replies: dict[str, Future] = {}
        for number in range(WAITERS):
            for names in (("slow",), ("slow", "next")):
                gid = f"{len(names)}-{number}"
                body = saga(gid, *names, participants=participants, wait_result=True)
                replies[gid] = pool.submit(coordinator.client.post, "submit", body)
        until(lambda: len(participants.calls) == 2 * WAITERS)
        assert coordinator.terminate(within=30) == 0
        for gid, reply in replies.items():
            status, said = reply.result()
            if gid.startswith("1"):
                assert (status, said) == (200, {"dtm_result": "SUCCESS"})
            else:
                assert (status, said["dtm_result"]) == (425, "ONGOING")
        coordinator.start()
        for gid in replies:
            assert coordinator.client.until_final(gid) == "succeed"
            assert len(participants.of(gid)) == int(gid[0])


def test_under_load_nothing_is_lost(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """Clients that repeat a request once, after a restart on the same store, know how each one ended."""
    ledger = Ledger(slow=0.1)
    stopping, up = threading.Event(), threading.Event()

    def submit_twice(client: Client, gid: str, wait: bool) -> int:
        body = saga(gid, "out", "in", participants=ledger, wait_result=wait)
        try:
            status = client.post("submit", body)[0]
        except (OSError, HTTPException):
            status = 599
        if status < 500:
            return status
        up.wait()
        return client.post("submit", body)[0]

    def keep_submitting(client: Client, name: int) -> dict[str, int]:
        answers = {}
        while not (stopping.is_set() and up.is_set()):
            gid = f"{name}-{len(answers)}"
            answers[gid] = submit_twice(client, gid, wait=name % 2 == 0)
            time.sleep(0.2)  # the participants live in this process, too: they must get their turn
        return answers

    with Coordinator(tmp_path, DTM_SHUTDOWN_GRACE="5", **FAST) as coordinator, ExitStack() as ending:
        ending.callback(up.set)  # whatever fails, no client may wait or go on for ever
        ending.callback(stopping.set)
        clients = [pool.submit(keep_submitting, coordinator.client, name) for name in range(WAITERS)]
        until(lambda: len(ledger.calls) > 200, within=60)
        stopping.set()
        assert coordinator.terminate(within=30) == 0
        assert held(tmp_path) == []
        coordinator.start()
        up.set()
        answers = {gid: status for client in clients for gid, status in client.result().items()}
        assert set(answers.values()) <= {200, 409, 425}
        for gid in answers:
            assert coordinator.client.until_final(gid) == "succeed"
            assert ledger.effects(gid) == [("01", "action", 1), ("02", "action", 1)]
        repeated = len(ledger.calls) - len(ledger.book)
        assert repeated == 0, "a call that landed within the grace was made again"
    ledger.close()


def test_a_hanging_participant_does_not_hold_it_up(tmp_path: Path, participants: Participants) -> None:
    """The grace ends first: exit status 0 all the same, and the call that was cut off counts as begun ever after."""
    participants.delay("hangs", 60)
    with Coordinator(tmp_path, DTM_SHUTDOWN_GRACE="0.3", **FAST) as coordinator:
        hanging = saga("g", "hangs", "never", participants=participants, request_timeout=50)
        assert coordinator.client.post("submit", hanging)[0] == 200
        until(lambda: participants.of("g") == ["action 01 POST hangs"])
        assert coordinator.terminate(within=30) == 0
        coordinator.start()
        assert coordinator.client.query("g")["transaction"]["status"] == "submitted"
        assert coordinator.client.post("abort", {"gid": "g"})[0] == 200
        assert coordinator.client.until_final("g") == "failed"
        assert participants.of("g") == ["action 01 POST hangs", "compensate 01 POST hangs-undo"]


def test_a_waiting_client_hears_of_the_end_of_the_grace(
    tmp_path: Path, participants: Participants, pool: ThreadPoolExecutor
) -> None:
    """Its saga is stored and goes on after a restart: no 409, which would be a business answer."""
    participants.delay("hangs", 60)
    with Coordinator(tmp_path, DTM_SHUTDOWN_GRACE="0.3", **FAST) as coordinator:
        hanging = saga("g", "hangs", participants=participants, request_timeout=50, wait_result=True)
        reply = pool.submit(coordinator.client.post, "submit", hanging)
        until(lambda: participants.of("g") == ["action 01 POST hangs"])
        assert coordinator.terminate(within=30) == 0
        status, said = reply.result()
        assert (status, said["dtm_result"]) == (425, "ONGOING")


def test_what_arrives_meanwhile_is_refused_for_certain(tmp_path: Path, participants: Participants) -> None:
    """A kept connection still works while calls land: 503, nothing stored, and the connection is to be closed."""
    participants.delay("slow", 1)
    with Coordinator(tmp_path, DTM_SHUTDOWN_GRACE="5", **FAST) as coordinator:
        assert coordinator.client.post("submit", saga("g", "slow", participants=participants))[0] == 200
        until(lambda: len(participants.calls) == 1)
        kept = http.client.HTTPConnection("127.0.0.1", coordinator.port, timeout=10)
        kept.request("GET", "/api/ping")
        assert kept.getresponse().read() == b'{"msg":"pong"}'
        coordinator.process.send_signal(signal.SIGTERM)
        until(lambda: b"draining" in coordinator.log.read_bytes())
        kept.request("POST", "/api/dtmsvr/submit", json.dumps(saga("late", "slow", participants=participants)))
        reply = kept.getresponse()
        assert (reply.status, reply.headers["Connection"]) == (503, "close")
        assert json.loads(reply.read()) == {"message": "shutting down"}
        kept.close()
        assert coordinator.process.wait(5) == 0
        coordinator.terminate()
        coordinator.start()
        assert coordinator.client.status("late") is None
        assert coordinator.client.until_final("g") == "succeed"
        assert len(participants.calls) == 1


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_exits_at_once(tmp_path: Path, participants: Participants, second: int) -> None:
    participants.delay("hangs", 60)
    with Coordinator(tmp_path, DTM_SHUTDOWN_GRACE="30", **FAST) as coordinator:
        hanging = saga("g", "hangs", participants=participants, request_timeout=50)
        assert coordinator.client.post("submit", hanging)[0] == 200
        until(lambda: len(participants.calls) == 1)
        coordinator.process.send_signal(signal.SIGTERM)
        until(lambda: b"draining" in coordinator.log.read_bytes())
        assert coordinator.process.poll() is None
        coordinator.process.send_signal(second)
        assert coordinator.process.wait(5) == 1
        coordinator.terminate()
        coordinator.start()
        assert coordinator.client.status("g") == "submitted"
