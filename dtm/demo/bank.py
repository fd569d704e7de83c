"""A participant: a bank that answers the coordinator over HTTP."""

from __future__ import annotations

import json

import tornado.web

from dtm.demo.ledger import EFFECTS, Call, Ledger, Refused
from dtm.demo.participant import Participant, Routes


class Movement(tornado.web.RequestHandler):
    """POST withdraw or deposit, with {"amount": 30}; the coordinator adds gid, branch_id and op to the query.

    200: it is done, or was done before. 409: refused, the transaction is to be rolled back. Anything else: try again.
    """

    def initialize(self, ledger: Ledger, sign: int) -> None:
        """Take what the table of routes hands over."""
        self.ledger = ledger
        self.sign = sign

    def post(self) -> None:
        """Carry the call out, once."""
        call = Call(*(self.get_query_argument(name) for name in ("gid", "branch_id", "op")))
        amount = amount_of(self.request.body)
        if call.op not in EFFECTS or amount is None:
            raise tornado.web.HTTPError(400)
        try:
            self.ledger.apply(call, self.sign * amount)
        except Refused as refusal:
            self.set_status(409)
            self.finish({"dtm_result": "FAILURE", "message": str(refusal)})
        else:
            self.finish({"dtm_result": "SUCCESS"})


def amount_of(body: bytes) -> int | None:
    """The amount of a body {"amount": 30}; None when it is no such thing."""
    try:
        amount = json.loads(body)["amount"]
    except (ValueError, TypeError, KeyError):
        return None
    return amount if type(amount) is int and amount > 0 else None


class Committed(tornado.web.RequestHandler):
    """GET committed: how the local transaction of a message ended, when its sender never said."""

    def initialize(self, ledger: Ledger) -> None:
        """Take what the table of routes hands over."""
        self.ledger = ledger

    def get(self) -> None:
        """200: committed, deliver the message. 409: it did not happen, and never will."""
        committed = self.ledger.committed(self.get_query_argument("gid"))
        self.set_status(200 if committed else 409)
        self.finish({"dtm_result": "SUCCESS" if committed else "FAILURE"})


class Balance(tornado.web.RequestHandler):
    """GET /: for people."""

    def initialize(self, name: str, ledger: Ledger) -> None:
        """Take what the table of routes hands over."""
        self.name = name
        self.ledger = ledger

    def get(self) -> None:
        """Show the account."""
        balance, frozen = self.ledger.balance()
        self.finish(json.dumps({"bank": self.name, "balance": balance, "frozen": frozen}) + "\n")


class Bank(Participant):
    """A bank with books of its own."""

    def __init__(self, name: str, ledger: Ledger) -> None:
        routes: Routes = [
            (r"/withdraw", Movement, {"ledger": ledger, "sign": -1}),
            (r"/deposit", Movement, {"ledger": ledger, "sign": 1}),
            (r"/committed", Committed, {"ledger": ledger}),
            (r"/", Balance, {"name": name, "ledger": ledger}),
        ]
        super().__init__(name, routes)
        self.ledger = ledger

    async def stop(self) -> None:
        """Hang up and close the books."""
        await super().stop()
        self.ledger.close()

    async def balance(self) -> tuple[int, int]:
        """The balance, and how much of it is frozen."""
        return self.ledger.balance()

    async def effects(self, gid: str) -> list[tuple[str, str]]:
        """(branch_id, op) of each effect of a transaction, in order."""
        return [entry[:2] for entry in self.ledger.entries(gid)]
