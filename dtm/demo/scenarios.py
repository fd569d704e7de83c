"""The scenarios: what the client does, and how everything must stand in the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, fields
from typing import Any

from rich.text import Text

from dtm.demo.bank import Bank
from dtm.demo.ledger import Call
from dtm.demo.stage import Stage
from dtm.terminal import show

AMOUNT = 30
PAYLOAD = f'{{"amount": {AMOUNT}}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How it ended, or must end.

    answers: HTTP statuses that the client heard, in order. branches: (branch_id, op) -> status.
    balances: (balance, frozen) of bank A and of bank B. ledger_a, ledger_b: (branch_id, op) of each effect, in order.
    prepared: what the banks' databases still hold prepared.
    """

    answers: list[int]
    status: str
    branches: dict[tuple[str, str], str]
    balances: list[tuple[int, int]]
    ledger_a: list[tuple[str, str]]
    ledger_b: list[tuple[str, str]]
    prepared: list[str] = field(default_factory=list)

    def differences(self, seen: Ending) -> list[str]:
        """What is not as it must be, one line each."""
        names = [field.name for field in fields(self) if getattr(self, field.name) != getattr(seen, field.name)]
        return [f"{name}: expected {getattr(self, name)}, found {getattr(seen, name)}" for name in names]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """title, story: what the reader is told first. moral: what is to be learnt from it, when all went well.

    on_databases: the banks keep their books on a MySQL or MariaDB server, not in files.
    """

    title: str
    story: str
    play: Callable[[Stage[Any]], Awaitable[None]]
    ending: Ending
    moral: str
    b_accepts: bool = True
    on_databases: bool = False


async def _saga(stage: Stage[Bank]) -> None:
    """Two steps, each with the url that does it and the url that takes it back (here the same: `op` tells)."""
    steps = [{"action": url, "compensate": url} for url in (f"{stage.a.url}/withdraw", f"{stage.b.url}/deposit")]
    saga = {"trans_type": "saga", "steps": steps, "payloads": [PAYLOAD, PAYLOAD], "wait_result": True}
    await stage.ask("submit", saga)


async def _tcc(stage: Stage[Bank]) -> None:
    """Register each participant, call its try, and submit when all have answered."""
    tcc = {"trans_type": "tcc"}
    await stage.ask("prepare", tcc)
    for branch_id, url in (("01", f"{stage.a.url}/withdraw"), ("02", f"{stage.b.url}/deposit")):
        branch = {"branch_id": branch_id, "confirm": url, "cancel": url, "data": PAYLOAD}
        await stage.ask("registerBranch", {**tcc, **branch})
        await stage.call(url, "tcc", branch_id, "try", {"amount": AMOUNT})
    await stage.note_balances("after the tries")
    await stage.ask("submit", {**tcc, "wait_result": True})


async def _msg(stage: Stage[Bank]) -> None:
    """Prepare the message, commit the local transaction of bank A, submit the message."""
    message: dict[str, Any] = {
        "trans_type": "msg",
        "steps": [{"action": f"{stage.b.url}/deposit"}],
        "payloads": [PAYLOAD],
        "query_prepared": f"{stage.a.url}/committed",
    }
    await stage.ask("prepare", message)
    stage.a.ledger.apply(Call(stage.gid, "00", "msg"), -AMOUNT)
    show(Text(f"Bank A commits a local transaction of its own: withdraw {AMOUNT}", "bold"))
    await stage.note_balances("after the local transaction")
    await stage.ask("submit", {**message, "wait_result": True})


SAGA = Scenario(
    title="saga: move 30 from bank A to bank B",
    story="The client submits two steps; the coordinator calls one bank after the other.",
    play=_saga,
    ending=Ending(
        answers=[200],
        status="succeed",
        branches={
            ("01", "compensate"): "prepared",
            ("01", "action"): "succeed",
            ("02", "compensate"): "prepared",
            ("02", "action"): "succeed",
        },
        balances=[(70, 0), (130, 0)],
        ledger_a=[("01", "action")],
        ledger_b=[("02", "action")],
    ),
    moral="The saga succeeded: 30 left bank A and arrived at bank B, each exactly once.",
)

ROLLBACK = Scenario(
    title="saga-rollback: move 30 from bank A to bank B, whose account is closed",
    story="Bank B refuses with 409 after bank A has paid; the coordinator takes back what was done.",
    play=_saga,
    b_accepts=False,
    ending=Ending(
        answers=[409],
        status="failed",
        branches={
            ("01", "compensate"): "succeed",
            ("01", "action"): "succeed",
            ("02", "compensate"): "succeed",
            ("02", "action"): "failed",
        },
        balances=[(100, 0), (100, 0)],
        ledger_a=[("01", "action"), ("01", "compensate")],
        ledger_b=[],
    ),
    moral="The saga was rolled back: bank A has its 30 again, and bank B's barrier knew that nothing was to be undone.",
)

TCC = Scenario(
    title="tcc: move 30 from bank A to bank B, reserving first",
    story="Each bank tries (A freezes the money); when all have agreed, the coordinator lets all confirm.",
    play=_tcc,
    ending=Ending(
        answers=[200] * 6,
        status="succeed",
        branches={
            ("01", "cancel"): "prepared",
            ("01", "confirm"): "succeed",
            ("02", "cancel"): "prepared",
            ("02", "confirm"): "succeed",
        },
        balances=[(70, 0), (130, 0)],
        ledger_a=[("01", "try"), ("01", "confirm")],
        ledger_b=[("02", "try"), ("02", "confirm")],
    ),
    moral="Both banks confirmed: the 30 were frozen first, so that nobody could spend them in between.",
)

MSG = Scenario(
    title="msg: bank A withdraws 30 by itself, bank B hears of it",
    story="The message is prepared before A's local transaction and submitted after it; the coordinator delivers it.",
    play=_msg,
    ending=Ending(
        answers=[200, 200],
        status="succeed",
        branches={("01", "action"): "succeed"},
        balances=[(70, 0), (130, 0)],
        ledger_a=[("00", "msg")],
        ledger_b=[("01", "action")],
    ),
    moral="The message was delivered, because the local transaction was committed. Had A died in between, "
    "the coordinator would have asked it at `query_prepared`.",
)
