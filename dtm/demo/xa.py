"""The scenarios of mode `xa`, on two databases of a MySQL or MariaDB server."""

from __future__ import annotations

from rich.text import Text

from dtm.demo.scenarios import AMOUNT, Ending, Scenario
from dtm.demo.stage import Stage
from dtm.demo.xa_bank import XaBank
from dtm.terminal import show


async def _xa(stage: Stage[XaBank]) -> None:
    """Call each participant, which registers itself; submit when all have prepared, abort when one has not."""
    xa = {"trans_type": "xa", "wait_result": True}
    await stage.ask("prepare", xa)
    for branch_id, url in (("01", f"{stage.a.url}/withdraw"), ("02", f"{stage.b.url}/deposit")):
        where = {"dtm": f"{stage.coordinator}/api/dtmsvr", "phase2_url": url}
        await stage.call(url, "xa", branch_id, "action", {"amount": AMOUNT}, **where)
        if stage.answers[-1] != 200:
            break
    await stage.note_balances("while prepared")
    held = ", ".join(await stage.a.prepared(stage.gid)) or "nothing"
    show(Text(f"XA RECOVER: the server holds prepared: {held}", "bold"))
    await stage.ask("submit" if stage.answers[-1] == 200 else "abort", xa)


XA = Scenario(
    title="xa: move 30 from bank A to bank B, in one transaction of both databases",
    story="Each bank's database prepares the change and registers its branch; the coordinator has both commit.",
    play=_xa,
    on_databases=True,
    ending=Ending(
        answers=[200] * 4,
        status="succeed",
        branches={
            ("01", "rollback"): "prepared",
            ("01", "commit"): "succeed",
            ("02", "rollback"): "prepared",
            ("02", "commit"): "succeed",
        },
        balances=[(70, 0), (130, 0)],
        ledger_a=[("01", "action")],
        ledger_b=[("02", "action")],
    ),
    moral="Both databases committed; until then nobody saw the change. XA RECOVER shows that nothing is left prepared.",
)

XA_ROLLBACK = Scenario(
    title="xa-rollback: move 30 from bank A to bank B, whose account is closed",
    story="Bank A's database has prepared when bank B refuses; the client aborts, the coordinator has A roll back.",
    play=_xa,
    b_accepts=False,
    on_databases=True,
    ending=Ending(
        answers=[200, 200, 409, 200],
        status="failed",
        branches={("01", "rollback"): "succeed", ("01", "commit"): "prepared"},
        balances=[(100, 0), (100, 0)],
        ledger_a=[],
        ledger_b=[],
    ),
    moral="Bank A's database rolled back what it had prepared, and XA RECOVER shows that nothing is left of it.",
)
