"""Plans of a stranger that make no sense: the transaction is parked and shown with its story, the node lives on."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.coordinator import FAST, Coordinator
from tests.support.figures import Figures, scrape
from tests.support.participants import Participants

NONSENSE = """
import dtm

PLANS = {
    "nothing": lambda snapshot: None,
    "raises": lambda snapshot: 1 / 0,
    "past": lambda snapshot: dtm.Wait(snapshot.now - 1),
    "same": lambda snapshot: dtm.Move(snapshot.status),
    "no-status": lambda snapshot: dtm.Move("done"),
    "empty": lambda snapshot: dtm.Call(()),
    "stranger": lambda snapshot: dtm.Call((dtm.Branch("99", "act", "http://127.0.0.1:1/"),)),
    "no-branch": lambda snapshot: dtm.Call(("01",)),
    "calls-none": lambda snapshot: dtm.Call(None),
    "number": lambda snapshot: dtm.Call((5,)),
    "until-text": lambda snapshot: dtm.Call(snapshot.branches, until="soon"),
    "wait-text": lambda snapshot: dtm.Wait("soon"),
    "wait-half": lambda snapshot: dtm.Wait(snapshot.now + 1000.5),
    "reason": lambda snapshot: dtm.Move(dtm.Status.ABORTING, 5),
    "result": lambda snapshot: dtm.Move(dtm.Status.SUCCEED, result={"a": 1}),
    "asks-none": lambda snapshot: dtm.Ask("question", None),
    "asks-text": lambda snapshot: dtm.Ask("question", "http://127.0.0.1:1/", payload="text"),
    "asks-branch": lambda snapshot: dtm.Ask("act", "http://127.0.0.1:1/", branch_id="01"),
    "to-and-fro": lambda snapshot: dtm.Move(
        dtm.Status.ABORTING if snapshot.status is dtm.Status.SUBMITTED else dtm.Status.SUBMITTED
    ),
}


@dtm.hookimpl
def dtm_register_protocols():
    for name, plan in PLANS.items():
        yield dtm.Protocol(
            name=name, summary="nonsense", ops={"act": dtm.Op()}, plan=plan,
            request_schema={"type": "object", "properties": {}},
            expand=lambda request: [dtm.Branch("01", "act", "http://127.0.0.1:1/")],
        )
"""
TROUBLES = {
    "nothing": "plan returned None, which is no decision",
    "raises": "plan raised ZeroDivisionError: division by zero",
    "past": "waits for a moment that has passed",
    "same": "moves from submitted to submitted, which leads nowhere",
    "no-status": "plan returned Move(status='done'",
    "empty": "calls nothing and waits for nothing",
    "stranger": "calls ('99', 'act'), which is no branch of this transaction",
    "no-branch": "calls '01', which is no branch of this transaction",
    "calls-none": "plan returned Call(branches=None",
    "number": "calls 5, which is no branch of this transaction",
    "until-text": "plan returned Call(",
    "wait-text": "plan returned Wait(until='soon'), which is no decision",
    "wait-half": "plan returned Wait(until=",
    "reason": "plan returned Move(",
    "result": "plan returned Move(",
    "asks-none": "plan returned Ask(",
    "asks-text": "plan returned Ask(",
    "asks-branch": "asks ('01', 'act'), which is a branch",
    "to-and-fro": "moves from aborting to submitted, which leads nowhere",
}


def test_nonsense_is_parked_with_its_story(tmp_path: Path, participants: Participants) -> None:
    (tmp_path / "nonsense.py").write_text(NONSENSE)
    conf = {"plugins": {"modules": ["./nonsense.py"]}, "protocols": {name: {} for name in TROUBLES}}
    (tmp_path / "conf.yml").write_text(json.dumps(conf))
    steps = [{"action": participants.url("a")}]
    saga = {"gid": "g", "trans_type": "saga", "steps": steps, "payloads": ["{}"], "wait_result": True}
    with Coordinator(tmp_path, "-c", "conf.yml", **FAST) as coordinator:
        for name in TROUBLES:
            status, said = coordinator.client.post("submit", {"gid": name, "trans_type": name, "wait_result": True})
            heard = (409, "FAILURE") if name == "to-and-fro" else (425, "ONGOING")
            assert (status, said["dtm_result"]) == heard, name
        for name, trouble in TROUBLES.items():
            transaction = coordinator.client.query(name)["transaction"]
            assert transaction["trouble"].startswith(trouble)
            assert transaction["status"] in ("submitted", "aborting")
            assert "owner" not in transaction
        attention = coordinator.client.get("all", attention=1)[1]["transactions"]
        assert {each["gid"] for each in attention} == set(TROUBLES)
        assert Figures(scrape(coordinator.url)).value("dtm_bad_plans_total") >= len(TROUBLES)
        assert coordinator.client.post("submit", saga)[0] == 200
        assert participants.of("g") == ["action 01 POST a"]
        for name in TROUBLES:
            assert coordinator.client.post("forceStop", {"gid": name})[0] == 200
            assert coordinator.client.status(name) == "failed"
