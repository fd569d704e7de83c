"""An `expand` or `register` that breaks: a clear 503 that names the plugin's fault, and nothing is stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.coordinator import FAST, Coordinator

FAULTY = """
import dtm

URL = "http://127.0.0.1:1/"
EXPANDS = {
    "raises": lambda request: 1 / 0,
    "text-payload": lambda request: [dtm.Branch("01", "act", URL, "text")],
    "no-url": lambda request: [dtm.Branch("01", "act", None)],
    "strange-op": lambda request: [dtm.Branch("01", "other", URL)],
    "no-branch": lambda request: ["01"],
    "nothing": lambda request: None,
}


@dtm.hookimpl
def dtm_register_protocols():
    for name, expand in EXPANDS.items():
        yield dtm.Protocol(
            name=name, summary="faulty", ops={"act": dtm.Op()}, plan=lambda snapshot: dtm.Wait(),
            request_schema={"type": "object", "properties": {}}, branch_schema={"type": "object"},
            verbs=dtm.TWO_PHASE, expand=expand, register=expand,
        )
"""
FAULTS = {
    "raises": "raised ZeroDivisionError: division by zero",
    "text-payload": "a payload that is no bytes",
    "no-url": "a url that is no str",
    "strange-op": "the operation 'other', which it does not define",
    "no-branch": "made a str, not a dtm.Branch",
    "nothing": "raised TypeError",
}


@pytest.fixture
def faulty(tmp_path: Path):
    (tmp_path / "faulty.py").write_text(FAULTY)
    environment = {
        "DTM_PLUGINS__MODULES": '["./faulty.py"]',
        "DTM_PROTOCOLS": json.dumps({name: {} for name in FAULTS}),
    }
    with Coordinator(tmp_path, **FAST, **environment) as coordinator:
        yield coordinator


def test_a_broken_plugin_stores_nothing(faulty: Coordinator) -> None:
    for name, fault in FAULTS.items():
        for verb, more in (("submit", {}), ("prepare", {}), ("registerBranch", {"branch_id": "01"})):
            status, said = faulty.client.post(verb, {"gid": name, "trans_type": name, **more})
            assert status == 503, (name, verb, said)
            assert fault in said["message"], (name, verb)
            assert f"protocol {name}: " in said["message"]
    assert faulty.client.get("all")[1]["transactions"] == []


def test_an_address_that_can_never_be_called_is_refused_at_once(tmp_path: Path) -> None:
    allow = {"DTM_CALLBACKS__ALLOW": '["127.0.0.1:8081", "10.0.0.0/8"]'}
    with Coordinator(tmp_path, **FAST, **allow) as coordinator:
        for url in ("http://127.0.0.1:8082/", "http://169.254.169.254/", "http://[::1]/"):
            body = {"gid": "g", "trans_type": "saga", "steps": [{"action": url}], "payloads": ["1"]}
            status, said = coordinator.client.post("submit", body)
            assert (status, said["errors"][0]["pointer"]) == (400, "/steps/0/action")
            assert "callbacks.allow" in said["message"]
            assert coordinator.client.get("subscribe", topic="t", url=url)[0] == 400
        assert coordinator.client.get("all")[1]["transactions"] == []
        for url in ("http://127.0.0.1:8081/", "http://10.1.2.3/", "http://only.known.later/"):
            body = {"gid": url, "trans_type": "msg", "steps": [{"action": url}], "payloads": ["1"]}
            body["custom_data"] = '{"delay": 3600}'
            assert coordinator.client.post("submit", body)[0] == 200
