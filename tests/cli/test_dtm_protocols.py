"""`dtm protocols`."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from tests.support.command import Ran

PLUGIN = '''
"""A stranger's protocol."""
import dtm

PROTOCOL = dtm.Protocol(
    name="notify",
    summary="tells one participant",
    version="7",
    ops={"tell": dtm.Op()},
    plan=lambda snapshot: dtm.Move(dtm.Status.SUCCEED),
    verbs={(dtm.Verb.SUBMIT, None): lambda request: dtm.Status.SUBMITTED},
    request_schema={"type": "object", "properties": {"url": {"type": "string"}}},
    settings_schema={"type": "object", "properties": {"loud": {"type": "boolean"}}},
)


@dtm.hookimpl
def dtm_register_protocols():
    return [PROTOCOL]
'''


def test_all_four_are_listed_with_what_they_are_made_of(dtm: Callable[..., Ran]) -> None:
    ran = dtm("protocols")
    assert (ran.status, ran.err) == (0, "")
    titles = re.findall(r"^(\w+) 1  (enabled)  built-in (.*)$", ran.out, re.MULTILINE)
    assert titles == [(name, "enabled", version("dtm-coordinator")) for name in ("msg", "saga", "tcc", "xa")]
    for line in (
        "  summary     steps with compensations: when one fails, what was done is taken back",
        "              abort: submitted -> aborting",
        "              submit: none -> submitted, prepared -> submitted",
        "  operations  action: may fail",
        "              compensate: tried until it succeeds, undoes action",
        "  operations  rollback: tried until it succeeds, always POST",
        "  schemas     request: saga.json (payloads, steps)",
        "              branch: tcc.json#/$defs/branch (branch_id, cancel, confirm, data)",
    ):
        assert f"\n{line}\n" in ran.out
    assert "\x1b" not in ran.out
    assert max(map(len, ran.out.splitlines())) <= 100


def test_a_strangers_protocol_and_a_disabled_one(dtm: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "notify.py").write_text(PLUGIN)
    (tmp_path / "conf.yml").write_text("plugins: {modules: [./notify.py]}\nprotocols: {xa: false}\n")
    out = dtm("protocols", "-c", "conf.yml").out
    assert re.search(r"^xa 1  not enabled  built-in", out, re.MULTILINE)
    _, _, listed = out.partition("\nnotify ")
    assert listed.splitlines()[:6] == [
        f"7  not enabled  {tmp_path}/notify.py",
        "  summary     tells one participant",
        "  verbs       submit: none -> (depends on the request)",
        "  operations  tell: tried until it succeeds",
        "  schemas     request: inline (url)",
        "              settings: inline (loud)",
    ]
