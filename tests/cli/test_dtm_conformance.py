"""dtm conformance: a report for people and for machines, and an exit status for a plugin's own CI."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import Ran

PLUGIN = """
import dtm

def expand(request):
    return [dtm.Branch(f"{n:02d}", "tell", url) for n, url in enumerate(request.body["urls"], 1)]

def plan(snapshot):
    tells = snapshot.op("tell")
    if dtm.ordering.all_succeeded(tells):
        return dtm.Move(dtm.Status.SUCCEED)
    PLAN

def notify(name):
    schema = {"properties": {"urls": {"type": "array"}}, "examples": EXAMPLES}
    functions = {"expand": expand, "plan": plan}
    return dtm.Protocol(name=name, summary="tell", ops={"tell": dtm.Op()}, request_schema=schema, **functions)

@dtm.hookimpl
def dtm_register_protocols():
    return [notify(name) for name in NAMES]
"""
RIGHT = "return dtm.Call(dtm.ordering.at_once(tells))"
EXAMPLES = '[{"urls": ["http://a.example/", "http://b.example/"]}]'


def written(folder: Path, plan: str, examples: str = EXAMPLES, names: str = '["notify"]') -> str:
    text = PLUGIN.replace("PLAN", plan).replace("EXAMPLES", examples).replace("NAMES", names)
    (folder / "notify.py").write_text(text)
    return "./notify.py"


def test_a_good_one(dtm: Callable[..., Ran], tmp_path: Path) -> None:
    ran = dtm("conformance", written(tmp_path, RIGHT, names='["one", "two"]'), "--histories", "50", "--json", "r.json")
    assert (ran.status, ran.err) == (0, "")
    assert [line.split("  ")[:2] for line in ran.out.splitlines() if "conforms" in line] == [
        ["one 1", "conforms"],
        ["two 1", "conforms"],
    ]
    assert "  kept  ends " in ran.out
    reports = json.loads((tmp_path / "r.json").read_text())
    assert [(report["protocol"], report["version"], report["verdict"]) for report in reports] == [
        ("one", "1", "conforms"),
        ("two", "1", "conforms"),
    ]
    assert reports[0]["histories"]["generated"] == 50
    assert reports[0]["histories"]["single_fault"] > 50
    assert reports[0]["histories"]["complete"] is True
    assert {law["broken"] for law in reports[0]["laws"]} == {0}


@pytest.mark.parametrize(
    ("plan", "law"),
    [
        ("return dtm.Wait() if any(tell.attempts for tell in tells) else " + RIGHT.removeprefix("return "), "ends"),
        ("return dtm.Call(snapshot.branches)", "done-is-done"),
        ("return dtm.Wait(snapshot.now + 50 + hash(snapshot.gid) % 97) if snapshot.now % 2 else " + RIGHT[7:], None),
    ],
)
def test_a_bad_one(dtm: Callable[..., Ran], tmp_path: Path, plan: str, law: str | None) -> None:
    """The last one differs from process to process: strings have another hash in each."""
    ran = dtm("conformance", written(tmp_path, plan), "--histories", "100", "--jobs", "2", "--json", "r.json")
    assert (ran.status, ran.err) == (1, "")
    assert f"broken  {law or 'deterministic'} " in ran.out
    (report,) = json.loads((tmp_path / "r.json").read_text())
    (told,) = [each for each in report["laws"] if each["name"] == (law or "deterministic")]
    assert told["broken"] > 0
    if law:
        assert told["history"]["steps"][0]["body"]["urls"] == ["http://a.example/"] or law == "done-is-done"
        assert told["how"] in ran.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["./none.py"], "plugin ./none.py cannot be imported: FileNotFoundError"),
        (["no.such"], "plugin no.such cannot be imported: ModuleNotFoundError"),
        (["./notify.py:other"], "plugin ./notify.py offers no protocol 'other'"),
        (["./notify.py", "--laws", "./notify.py"], "laws of ./notify.py: AttributeError"),
        (["./notify.py", "--json", "none/r.json", "--histories", "0"], "cannot write none/r.json: No such file"),
    ],
)
def test_refusals(dtm: Callable[..., Ran], tmp_path: Path, arguments: list[str], said: str) -> None:
    written(tmp_path, RIGHT)
    ran = dtm("conformance", *arguments)
    assert ran.status == 2
    (line,) = ran.err.splitlines()
    assert line.startswith(f"dtm: {said}")


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ('snapshot.op("tell")', 'snapshot.op("tel")', "protocol 'notify': none of the requests has anybody called: "),
        (
            '"tell", url)',
            '"tel", url)',
            "protocol 'notify': request 1 is refused by submit: protocol notify: a branch has",
        ),
    ],
)
def test_a_misspelt_operation(dtm: Callable[..., Ran], tmp_path: Path, right: str, wrong: str, said: str) -> None:
    file = tmp_path / written(tmp_path, RIGHT)
    file.write_text(file.read_text().replace(right, wrong))
    ran = dtm("conformance", file.name)
    assert (ran.status, ran.out) == (2, "")
    (line,) = ran.err.splitlines()
    assert line.startswith(f"dtm: {said}")


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        ("[]", "protocol 'notify': its request_schema has no \"examples\" to test it with"),
        ('[{"urls": 7}]', "protocol 'notify': request 1 is refused by submit: /urls: "),
    ],
)
def test_a_protocol_needs_examples(dtm: Callable[..., Ran], tmp_path: Path, examples: str, said: str) -> None:
    ran = dtm("conformance", written(tmp_path, RIGHT, examples))
    assert (ran.status, ran.out) == (2, "")
    (line,) = ran.err.splitlines()
    assert line.startswith(f"dtm: {said}")
