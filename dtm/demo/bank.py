"""A participant: a bank that answers the coordinator over HTTP."""

from __future__ import annotations

import json
from typing import Any

import tornado.web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from dtm.demo.ledger import EFFECTS, Call, Ledger, Refused


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
        amount = _amount(self.request.body)
        if call.op not in EFFECTS or amount is None:
            raise tornado.web.HTTPError(400)
        try:
            self.ledger.apply(call, self.sign * amount)
        except Refused as refusal:
            self.set_status(409)
            self.finish({"dtm_result": "FAILURE", "message": str(refusal)})
        else:
            self.finish({"dtm_result": "SUCCESS"})


def _amount(body: bytes) -> int | None:
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


class Bank:
    """One bank with its own books, listening on loopback; `url` is good after `start()`."""

    def __init__(self, name: str, ledger: Ledger) -> None:
        self.name = name
        self.ledger = ledger
        self.url = ""
        routes: list[tuple[str, type[tornado.web.RequestHandler], dict[str, Any]]] = [
            (r"/withdraw", Movement, {"ledger": ledger, "sign": -1}),
            (r"/deposit", Movement, {"ledger": ledger, "sign": 1}),
            (r"/committed", Committed, {"ledger": ledger}),
            (r"/", Balance, {"name": name, "ledger": ledger}),
        ]
        self._server = HTTPServer(tornado.web.Application(routes, log_function=lambda handler: None))

    def start(self, port: int = 0) -> None:
        """Listen; port 0 picks a free one."""
        sockets = bind_sockets(port, "127.0.0.1")
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        self._server.add_sockets(sockets)

    async def stop(self) -> None:
        """Hang up and close the books."""
        self._server.stop()
        await self._server.close_all_connections()
        self.ledger.close()
