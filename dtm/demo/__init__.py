"""`dtm demo`: money moves between two banks through a real coordinator, all in one process, over HTTP.

Start reading at `scenarios.py` (what a client does), then `bank.py` and `ledger.py` (what a participant does).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvloop
from rich.text import Text

from dtm.demo.scenarios import SCENARIOS, Ending, Scenario
from dtm.demo.stage import Stage, raised
from dtm.terminal import show
from dtm.timeline import render_timeline


def run(scenario: str) -> int:
    """Play one of SCENARIOS and check how it ended; 0 when everything is as it must be, else 1."""
    return uvloop.run(_play(SCENARIOS[scenario]))


async def _play(scenario: Scenario) -> int:
    show(Text(scenario.title, "bold"), Text(scenario.story), Text())
    with TemporaryDirectory(prefix="dtm-demo-") as folder:
        async with raised(Path(folder), b_accepts=scenario.b_accepts) as stage:
            await stage.new_gid()
            stage.note_balances("before")
            await scenario.play(stage)
            stage.note_balances("after")
            reply = await stage.get("query", gid=stage.gid)
            show(Text(), render_timeline(reply), Text(), stage.balances(), Text())
            wrong = scenario.ending.differences(_ending(stage, reply))
    if wrong:
        show(Text("This is not as it must be:", "bold red"), *map(Text, wrong))
        return 1
    show(Text(scenario.moral, "green"))
    return 0


def _ending(stage: Stage, reply: Mapping[str, Any]) -> Ending:
    """How it ended, by the coordinator's word and by the banks' books."""
    ledgers = [[entry[:2] for entry in bank.ledger.entries(stage.gid)] for bank in (stage.a, stage.b)]
    return Ending(
        answers=stage.answers,
        status=reply["transaction"]["status"],
        branches={(branch["branch_id"], branch["op"]): branch["status"] for branch in reply["branches"]},
        balances=[bank.ledger.balance() for bank in (stage.a, stage.b)],
        ledger_a=ledgers[0],
        ledger_b=ledgers[1],
    )
