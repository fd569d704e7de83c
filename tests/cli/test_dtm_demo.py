"""`dtm demo`: each scenario as a process; and what it says when something is not as it must be."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dtm import demo
from dtm.demo import SCENARIOS
from dtm.demo.scenarios import SAGA
from tests.support.command import COMMAND, Ran, environment

BALANCES = {
    "saga": [["100", "70"], ["100", "130"]],
    "saga-rollback": [["100", "100"], ["100", "100"]],
    "tcc": [["100", "100 (30 frozen)", "70"], ["100", "100", "130"]],
    "msg": [["100", "70", "70"], ["100", "100", "130"]],
}


def balances(out: str) -> list[list[str]]:
    """The rows of the table, one per bank."""
    return [re.split(r" {2,}", line)[1:] for line in out.splitlines() if re.match(r"bank [AB] {2,}", line)]


def test_every_scenario_is_tested_here() -> None:
    assert set(BALANCES) == {name for name, scenario in SCENARIOS.items() if not scenario.on_databases}


@pytest.mark.parametrize("scenario", BALANCES)
def test_a_scenario_ends_as_it_must(dtm: Callable[..., Ran], tmp_path: Path, scenario: str) -> None:
    ran = dtm("demo", scenario)
    assert (ran.status, ran.err) == (0, "")
    assert balances(ran.out) == BALANCES[scenario]
    assert re.search(r"status   (succeed|failed)\n", ran.out)
    assert ran.out.endswith(SCENARIOS[scenario].moral.split()[-1] + "\n")
    assert "\x1b" not in ran.out
    assert not any(line.endswith(" ") for line in ran.out.splitlines())
    assert list(tmp_path.iterdir()) == []


def test_a_rollback_shows_the_refusal_and_both_compensations(dtm: Callable[..., Ran]) -> None:
    out = dtm("demo", "saga-rollback").out
    assert re.search(r"\n-> 409 ", out)
    calls = re.findall(r"^ *\+[0-9.]+ s +(\d\d) +(\w+) +([A-Z]+) ", out, re.MULTILINE)
    assert calls == [
        ("01", "action", "SUCCESS"),
        ("02", "action", "FAILURE"),
        ("02", "compensate", "SUCCESS"),
        ("01", "compensate", "SUCCESS"),
    ]
    assert "the account is closed" in out


def test_on_a_terminal_there_are_colours(tmp_path: Path) -> None:
    reading, writing = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "demo", "saga"], cwd=tmp_path, env=environment(TERM="xterm-256color"), stdout=writing
    ) as process:
        os.close(writing)
        out = b""
        while chunk := _read(reading):
            out += chunk
    os.close(reading)
    assert process.returncode == 0
    assert b"\x1b[32msucceed" in out


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end was closed
        return b""


def test_an_unknown_scenario_is_refused(dtm: Callable[..., Ran]) -> None:
    ran = dtm("demo", "workflow")
    assert ran.status == 2
    assert "saga-rollback" in ran.err


def test_a_wrong_ending_is_told_and_is_exit_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ending = replace(SAGA.ending, balances=[(1, 0), (2, 0)], answers=[409])
    monkeypatch.setitem(demo.SCENARIOS, "saga", replace(SAGA, ending=ending))
    assert demo.run("saga") == 1
    out = capsys.readouterr().out
    assert "This is not as it must be:\nanswers: expected [409], found [200]\n" in out
    assert "balances: expected [(1, 0), (2, 0)], found [(70, 0), (130, 0)]\n" in out
