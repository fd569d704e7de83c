"""`dtm check`, `dtm --version`, help: what needs no coordinator."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support.command import Ran

SAMPLE = Path(__file__).parents[2] / "conf.sample.yml"
OK = "ok: store sqlite, protocols msg, saga, tcc, xa\n"


def refusals(ran: Ran) -> list[str]:
    """The lines on stderr; nothing on stdout, exit status 2, no traceback."""
    assert (ran.status, ran.out) == (2, "")
    lines = ran.err.splitlines()
    assert all(line.startswith("dtm: ") for line in lines)
    return [line.removeprefix("dtm: ") for line in lines]


def test_the_defaults_and_the_sample_are_good(dtm: Callable[..., Ran], tmp_path: Path) -> None:
    assert dtm("check") == Ran(0, OK, "")
    assert dtm("check", "-c", str(SAMPLE)) == Ran(0, OK, "")
    assert list(tmp_path.iterdir()) == []


def test_what_is_switched_off_is_not_counted(dtm: Callable[..., Ran]) -> None:
    assert dtm("check", DTM_PROTOCOLS='{"tcc": false, "xa": false}', DTM_STORE="memory://").out == (
        "ok: store memory, protocols msg, saga\n"
    )


def test_every_fault_has_its_line(dtm: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "bad.yml").write_text("port: many\nhots: 127.0.0.1\ncallbacks: {allow: 7}\n")
    said = refusals(dtm("check", "-c", "bad.yml", DTM_LEASE="-1"))
    assert len(said) == 4
    for place in ("bad.yml: port: ", "bad.yml: hots: unknown key", "bad.yml: callbacks.allow: ", "DTM_LEASE: lease: "):
        assert sum(line.startswith(place) for line in said) == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [", "conf.yml: line 2: "),
        ("host: 0.0.0.0\ncallbacks: {allow: []}", "host: listening on 0.0.0.0 needs auth: "),
        ("plugins: {modules: [./none.py]}", ""),
        ("plugins: {modules: [broken.plugin]}", ""),
        ("protocols: {sage: {}}", "protocols.sage: no plugin provides this protocol; did you mean 'saga'?"),
        ("protocols: {saga: {speed: 9}}", "protocols.saga: "),
        ("store: oracle://scott:tiger@db/x", "store: this version has the stores sqlite, mysql and memory"),
        ("callbacks: {allow: ['10.0.0.0/99']}", "callbacks.allow: "),
    ],
)
def test_a_single_fault_is_a_single_line(dtm: Callable[..., Ran], tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "conf.yml").write_text(text + "\n")
    (said,) = refusals(dtm("check", "-c", "conf.yml"))
    assert said.startswith(line)
    assert "tiger" not in said


def test_a_missing_file(dtm: Callable[..., Ran]) -> None:
    assert refusals(dtm("check", "-c", "none.yml")) == ["none.yml: No such file or directory"]


def test_version(dtm: Callable[..., Ran]) -> None:
    assert dtm("--version") == Ran(0, f"dtm, version {version('dtm-coordinator')}\n", "")


def test_help_names_every_command_and_option(dtm: Callable[..., Ran]) -> None:
    listed = dtm("-h").out
    assert all(f"\n  {command} " in listed for command in ("serve", "check", "db", "protocols", "show", "demo"))
    options = dtm("serve", "--help").out
    assert all(f"{option} " in options for option in ("--config", "--store", "--host", "--port", "--allow-orphans"))


@pytest.mark.parametrize("arguments", [["nonsense"], ["serve", "--port", "70000"], ["show"], ["demo"]])
def test_wrong_usage_is_exit_status_2(dtm: Callable[..., Ran], arguments: list[str]) -> None:
    ran = dtm(*arguments)
    assert ran.status == 2
    assert "Traceback" not in ran.err
