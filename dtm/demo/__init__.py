"""`dtm demo`: money moves between two banks through a real coordinator, all in one process, over HTTP.

Start reading at `scenarios.py` (what a client does), then `bank.py` and `ledger.py` (what a participant does); for mode
`xa` at `xa.py`, then `xa_bank.py` and `xa_books.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvloop
from rich.text import Text

from dtm.core.errors import StartupError
from dtm.core.store.mysql_address import Address
from dtm.demo.participant import Participant
from dtm.demo.scenarios import MSG, ROLLBACK, SAGA, TCC, Ending, Scenario
from dtm.demo.stage import OPENING, Stage, in_files, raised
from dtm.demo.xa import XA, XA_ROLLBACK
from dtm.demo.xa_bank import in_databases, server_address
from dtm.terminal import show
from dtm.timeline import render_timeline

SCENARIOS = {
    "saga": SAGA, "saga-rollback": ROLLBACK, "tcc": TCC, "msg": MSG, "xa": XA, "xa-rollback": XA_ROLLBACK,
}  # fmt: skip


def run(scenario: str, db: str | None = None) -> int:
    """Play one of SCENARIOS and check how it ended; 0 when everything is as it must be, else 1.

    db: mysql://user:password@host:3306/, for those that want one. StartupError.
    """
    chosen = SCENARIOS[scenario]
    if chosen.on_databases and not db:
        raise StartupError(f"{scenario} needs --db mysql://USER:PASSWORD@HOST:3306/, a server for its two databases")
    if db and not chosen.on_databases:
        raise StartupError(f"--db: {scenario} needs no database")
    return uvloop.run(_play(chosen, server_address(db) if db else None))


async def _play(scenario: Scenario, address: Address | None) -> int:
    with TemporaryDirectory(prefix="dtm-demo-") as folder:
        async with _banks(scenario, Path(folder), address) as banks, raised(Path(folder), *banks) as stage:
            show(Text(scenario.title, "bold"), Text(scenario.story), Text())
            await stage.new_gid()
            await stage.note_balances("before")
            await scenario.play(stage)
            await stage.note_balances("after")
            reply = await stage.get("query", gid=stage.gid)
            show(Text(), render_timeline(reply), Text(), stage.balances(), Text())
            wrong = scenario.ending.differences(await _ending(stage, reply))
    if wrong:
        show(Text("This is not as it must be:", "bold red"), *map(Text, wrong))
        return 1
    show(Text(scenario.moral, "green"))
    return 0


def _banks(
    scenario: Scenario, folder: Path, address: Address | None
) -> AbstractAsyncContextManager[tuple[Participant, Participant]]:
    if address:
        return in_databases(address, OPENING, b_accepts=scenario.b_accepts)
    return in_files(folder, b_accepts=scenario.b_accepts)


async def _ending(stage: Stage[Participant], reply: Mapping[str, Any]) -> Ending:
    """How it ended, by the coordinator's word and by the banks' books."""
    banks = (stage.a, stage.b)
    return Ending(
        answers=stage.answers,
        status=reply["transaction"]["status"],
        branches={(branch["branch_id"], branch["op"]): branch["status"] for branch in reply["branches"]},
        balances=[await bank.balance() for bank in banks],
        ledger_a=await stage.a.effects(stage.gid),
        ledger_b=await stage.b.effects(stage.gid),
        prepared=sorted({xid for bank in banks for xid in await bank.prepared(stage.gid)}),
    )
