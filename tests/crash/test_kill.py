"""kill -9 of a real coordinator at random moments, two hundred sagas under way: nothing is lost or half done."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.support.client import FINAL, Client
from tests.support.coordinator import FAST, Coordinator
from tests.support.ledger import CLOSED, Ledger
from tests.support.participants import Seen

SAGAS = 200
CLIENTS = 25
KILLS = 8
FICKLE = 0.2
"""How many clients change their mind."""
HASTY = range(0, SAGAS, 5)
"""Sagas that time out after a second, which may be right after a crash."""


@pytest.fixture
def rng() -> random.Random:
    """TEST_SEED repeats a run, as far as its moments depend on chance of our own."""
    seed = int(os.environ.get("TEST_SEED", random.randrange(2**32)))
    print(f"TEST_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def ledger(rng: random.Random) -> Iterator[Ledger]:
    bank = Ledger(random.Random(rng.random()), moody=0.05, slow=0.3)
    yield bank
    bank.close()


def saga(ledger: Ledger, number: int) -> dict:
    """Money goes from a common account by way of a broker's to one of a customer's; every other customer's is closed.

    Half are concurrent, so that an action may be refused while another one is in flight. Some time out soon.
    """
    account = f"{CLOSED}-{number}" if number % 2 else f"open-{number}"
    amount = number % 7 + 1
    moves = [("till", -amount), ("broker", 0), (account, amount)]
    body = {
        "gid": f"{account}-gid",
        "trans_type": "saga",
        "steps": [{"action": ledger.url("move"), "compensate": ledger.url("unmove")} for _ in moves],
        "payloads": [json.dumps({"account": name, "amount": change}) for name, change in moves],
        "wait_result": number % 3 == 0,
        "timeout_to_fail": 1 if number in HASTY else 0,
    }
    return body | ({"custom_data": '{"concurrent": true}'} if number % 4 < 2 else {})


def until_certain(client: Client, verb: str, body: dict) -> tuple[int, dict]:
    """What a client does that wants to know: the same request again after every unknown outcome."""
    while True:
        try:
            status, reply = client.post(verb, body)
        except (OSError, HTTPException):
            time.sleep(0.02)
            continue
        if status < 500:
            return status, reply


def submit_all(client: Client, bodies: list[dict], answers: dict, rng: random.Random) -> None:
    for body in bodies:
        time.sleep(rng.random())
        answers[body["gid"]] = until_certain(client, "submit", body)
        if rng.random() < FICKLE:
            until_certain(client, "abort", body)


def test_kill_at_random_moments(tmp_path: Path, ledger: Ledger, rng: random.Random) -> None:
    bodies = [saga(ledger, number) for number in range(SAGAS)]
    answers: dict[str, tuple[int, dict]] = {}
    with Coordinator(tmp_path, **FAST) as coordinator:
        clients = [
            threading.Thread(
                target=submit_all,
                args=(coordinator.client, bodies[number::CLIENTS], answers, random.Random(rng.random())),
                daemon=True,
            )
            for number in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        for _ in range(KILLS):
            time.sleep(rng.random() * 0.7)
            coordinator.kill()
            coordinator.start()
        for client in clients:
            client.join(60)
        assert len(answers) == SAGAS
        endings = {body["gid"]: coordinator.client.until_final(body["gid"]) for body in bodies}
        shown = {body["gid"]: coordinator.client.query(body["gid"]) for body in bodies}
        coordinator.terminate()

    check_answers(answers, endings)
    check_books(ledger, endings, shown)
    check_calls(ledger)
    with sqlite3.connect(tmp_path / "dtm.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def check_answers(answers: dict[str, tuple[int, dict]], endings: dict[str, str]) -> None:
    """Every answer was one of acceptance; every accepted saga has ended, and never well when the account was closed."""
    for gid, (status, reply) in answers.items():
        assert status == 200 or (status == 409 and reply["status"] in (*FINAL, "submitted", "aborting")), (gid, reply)
    assert {ending for gid, ending in endings.items() if gid.startswith(CLOSED)} == {"failed"}
    assert set(endings.values()) == set(FINAL)


def check_books(ledger: Ledger, endings: dict[str, str], shown: dict[str, dict]) -> None:
    """Per gid all or nothing, as the final status says; money came from the till and nowhere else."""
    assert ledger.faults == []
    assert sum(ledger.balances.values()) == 0
    for gid, ending in endings.items():
        lines = ledger.effects(gid)
        acted = {branch: amount for branch, op, amount in lines if op == "action"}
        undone = {branch: amount for branch, op, amount in lines if op == "compensate"}
        statuses = {(b["branch_id"], b["op"]): b["status"] for b in shown[gid]["branches"]}
        if ending == "succeed":
            assert set(acted) == {"01", "02", "03"}, (gid, lines)
            assert undone == {}, (gid, lines)
            assert {status for (_, op), status in statuses.items() if op == "action"} == {"succeed"}
        else:
            assert set(acted) <= set(undone), (gid, lines)
            assert all(undone[branch] == -acted.get(branch, 0) for branch in undone), (gid, lines)
            assert all(statuses[branch, "compensate"] == "succeed" for branch in undone), (gid, lines)


def check_calls(ledger: Ledger) -> None:
    """No action is begun once compensating has been decided, and in a sequential saga none before its turn.

    By the epochs that the calls carry: one that was in flight when its coordinator was killed may arrive late.
    """
    decided: dict[str, int] = {}
    for call in ledger.calls:
        if call.op == "compensate":
            decided[call.gid] = min(decided.get(call.gid, epoch(call)), epoch(call))
    furthest: dict[str, int] = {}
    for call in ledger.calls:
        if call.op == "compensate":
            continue
        assert call.gid not in decided or epoch(call) < decided[call.gid], f"begun too late: {call.gid} {call}"
        if int(call.gid.split("-")[1]) % 4 >= 2:
            step = int(call.branch_id)
            assert step <= furthest.get(call.gid, 0) + 1, f"before its turn: {call.gid} {call}"
            furthest[call.gid] = max(furthest.get(call.gid, 0), step)


def epoch(call: Seen) -> int:
    return int(call.headers["dtm-epoch"])
