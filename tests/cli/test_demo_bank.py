"""The demo's banks over HTTP, as `python -m dtm.demo` runs them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.command import environment

CALL = "gid=g&branch_id=01&op="


@pytest.fixture
def banks(tmp_path: Path) -> Iterator[list[Client]]:
    """Banks A and B; B is closed."""
    command = [sys.executable, "-m", "dtm.demo", "0", "0", "--closed", "B"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().decode() for _ in range(2)]
        yield [Client(re.fullmatch(rf"bank {name} on (.*)\n", line)[1]) for name, line in zip("AB", lines, strict=True)]
        process.kill()


def test_a_bank_moves_money_shows_it_and_refuses(banks: list[Client]) -> None:
    a, b = banks
    body = json.dumps({"amount": 30}).encode()
    assert a.request("POST", f"/withdraw?{CALL}action", body) == (200, {"dtm_result": "SUCCESS"})
    assert a.request("GET", "/") == (200, {"bank": "A", "balance": 70, "frozen": 0})
    refusal = {"dtm_result": "FAILURE", "message": "the account is closed"}
    assert b.request("POST", f"/deposit?{CALL}action", body) == (409, refusal)
    assert b.request("GET", "/") == (200, {"bank": "B", "balance": 100, "frozen": 0})
    assert a.request("GET", "/committed?gid=g") == (409, {"dtm_result": "FAILURE"})


@pytest.mark.parametrize("body", [b"", b"30", b"[]", b"{}", b'{"amount": -30}', b'{"amount": "30"}'])
def test_nonsense_moves_nothing(banks: list[Client], body: bytes) -> None:
    a, _ = banks
    with pytest.raises(json.JSONDecodeError):  # Tornado's own page
        a.request("POST", f"/withdraw?{CALL}action", body)
    with pytest.raises(json.JSONDecodeError):
        a.request("POST", f"/withdraw?{CALL}steal", b'{"amount": 30}')
    assert a.request("GET", "/")[1]["balance"] == 100
