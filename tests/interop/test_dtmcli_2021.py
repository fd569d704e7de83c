"""PyPI's `dtmcli` 0.2.1 of August 2021, unchanged, as a client; the Makefile puts it beside the other one.

Its barrier is left out: when a call is repeated it gives the cursor's `fetchall` a statement, which no driver bears.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.coordinator import Coordinator
from tests.support.participants import Participants

CLIENT = Path(sys.prefix) / "dtmcli-2021"

SUCCESS = (200, '{"dtm_result":"SUCCESS"}')
FAILURE = (200, '{"dtm_result":"FAILURE"}')
"""What participants answered in 2021, whatever became of the call: always with 200."""


def play(server: Coordinator, participants: Participants, what: str) -> str:
    """Let the client do it; the gid."""
    participants.default = SUCCESS
    assert CLIENT.is_dir(), f"{CLIENT} is missing: make installs it"
    done = subprocess.run(
        [
            sys.executable,
            Path(__file__).with_name("client_2021.py"),
            f"{server.url}/api/dtmsvr",
            participants.base,
            what,
        ],
        env={**os.environ, "PYTHONPATH": str(CLIENT)},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.split()[-1]


def test_a_saga_succeeds(server: Coordinator, participants: Participants) -> None:
    gid = play(server, participants, "saga")
    assert server.client.until_final(gid) == "succeed"
    assert participants.of(gid) == ["action 01 POST action", "action 02 POST action"]
    assert [(call.body, call.query["branch_type"]) for call in participants.seen(gid)] == [
        ('{"amount": 30}', "action")
    ] * 2


def test_a_refused_saga_is_rolled_back(server: Coordinator, participants: Participants) -> None:
    participants.answer("action", SUCCESS, FAILURE)
    gid = play(server, participants, "saga")
    assert server.client.until_final(gid) == "failed"
    assert participants.of(gid)[2:] == ["compensate 02 POST compensate", "compensate 01 POST compensate"]


@pytest.mark.parametrize(("op", "status"), [("confirm", "succeed"), ("cancel", "failed")])
def test_a_tcc_ends_as_its_function_does(server: Coordinator, participants: Participants, op: str, status: str) -> None:
    gid = play(server, participants, op)
    assert server.client.until_final(gid) == status
    calls = [f"{call.query['branch_type']} {call.branch_id} {call.path}" for call in participants.seen(gid)]
    assert calls == ["try 01 try", "try 02 try", f"{op} 02 {op}", f"{op} 01 {op}"]
