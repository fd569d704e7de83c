"""A participant of mode `xa`: a bank whose database prepares, and then commits or rolls back when it is told to."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

import aiomysql
import tornado.web
from tornado.httpclient import AsyncHTTPClient, HTTPClientError

from dtm.core.errors import StartupError
from dtm.core.store.mysql_address import Address, parse_address
from dtm.core.store.mysql_errors import StatementError
from dtm.core.store.mysql_pool import Connection, connect
from dtm.demo.bank import amount_of
from dtm.demo.ledger import Call, Refused
from dtm.demo.participant import Participant, Routes
from dtm.demo.xa_books import PATIENCE, XaBooks, prepared, run

FAULTS = (aiomysql.MySQLError, StatementError, HTTPClientError, OSError)
"""What a call may meet for which nobody is to blame, a time-out included: it is answered 500."""


class XaMovement(tornado.web.RequestHandler):
    """POST withdraw or deposit. op=action, from the client: {"amount": 30}, and in the query `dtm` and `phase2_url`.

    op=commit or rollback, from the coordinator: no body. 200: done, or done before. 409: refused. 500: try again.
    """

    def initialize(self, books: XaBooks, sign: int) -> None:
        """Take what the table of routes hands over."""
        self.books = books
        self.sign = sign

    async def post(self) -> None:
        """Carry the call out, once."""
        call = Call(*(self.get_query_argument(name) for name in ("gid", "branch_id", "op")))
        try:
            await self._carry_out(call)
        except Refused as refusal:
            self._answer(409, "FAILURE", str(refusal))
        except FAULTS as fault:
            self._answer(500, "ERROR", str(fault))
        else:
            self._answer(200, "SUCCESS", call.op)

    async def _carry_out(self, call: Call) -> None:
        if call.op == "commit":
            await self.books.commit(call)
        elif call.op == "rollback":
            await self.books.rollback(call)
        elif call.op == "action" and (amount := amount_of(self.request.body)):
            await self.books.prepare(call, self.sign * amount, lambda: self._register(call))
        else:
            raise tornado.web.HTTPError(400)

    async def _register(self, call: Call) -> None:
        """Tell the coordinator which url ends this branch."""
        branch = {"gid": call.gid, "trans_type": "xa", "branch_id": call.branch_id}
        body = json.dumps({**branch, "url": self.get_query_argument("phase2_url")})
        await AsyncHTTPClient().fetch(f"{self.get_query_argument('dtm')}/registerBranch", method="POST", body=body)

    def _answer(self, status: int, result: str, message: str) -> None:
        self.set_status(status)
        self.finish({"dtm_result": result, "message": message})


class XaBank(Participant):
    """A bank with its books in a database of its own."""

    def __init__(self, name: str, books: XaBooks) -> None:
        routes: Routes = [
            (r"/withdraw", XaMovement, {"books": books, "sign": -1}),
            (r"/deposit", XaMovement, {"books": books, "sign": 1}),
        ]
        super().__init__(name, routes)
        self._books = books

    async def stop(self) -> None:
        """Hang up, and leave nothing prepared."""
        await super().stop()
        await self._books.close()

    async def balance(self) -> tuple[int, int]:
        """The balance; nothing is ever frozen, what is prepared is not seen."""
        return await self._books.balance(), 0

    async def effects(self, gid: str) -> list[tuple[str, str]]:
        """(branch_id, op) of each committed effect of a transaction."""
        return await self._books.effects(gid)

    async def prepared(self, gid: str) -> list[str]:
        """The XA transactions of a transaction that the server holds prepared."""
        return await self._books.prepared(gid)


def server_address(url: str) -> Address:
    """The server that `--db` names; a database in it counts for nothing. StartupError, without the password."""
    try:
        return parse_address(urlunsplit(urlsplit(url)._replace(path="/dtm_demo")))
    except (ValueError, StartupError) as error:
        reason = str(error).removeprefix("store: ").replace("/DATABASE", "/")
        raise StartupError(f"--db: {reason}") from None


@asynccontextmanager
async def in_databases(address: Address, balance: int, *, b_accepts: bool) -> AsyncIterator[tuple[XaBank, XaBank]]:
    """Two banks with `balance` each, in two databases that are made for them and dropped in the end.

    StartupError when the server is out of reach or denies something. Bank B refuses everything unless it accepts.
    """
    suffix = secrets.token_hex(4)
    a, b = (replace(address, database=f"dtm_demo_{name}_{suffix}") for name in "ab")
    async with _refusing(address), _made(address, a.database, b.database):
        books_a, books_b = XaBooks(a), XaBooks(b, accepting=b_accepts)
        await books_a.open(balance)
        await books_b.open(balance)
        yield XaBank("A", books_a), XaBank("B", books_b)


@asynccontextmanager
async def _made(address: Address, *databases: str) -> AsyncIterator[None]:
    """These databases are there, for a while, and XA RECOVER may be asked."""
    made: list[str] = []
    try:
        async with _administrator(address) as db:
            await prepared(db)
            for database in databases:
                await run(db, f"CREATE DATABASE `{database}`")
                made.append(database)
        yield
    finally:
        if made:
            async with _administrator(address) as db:
                for database in made:
                    await run(db, f"DROP DATABASE `{database}`")


@asynccontextmanager
async def _administrator(address: Address) -> AsyncIterator[Connection]:
    db = await connect(address, PATIENCE, into_database=False)
    try:
        yield db
    finally:
        await db.hang_up()


@asynccontextmanager
async def _refusing(address: Address) -> AsyncIterator[None]:
    """What goes wrong inside is one line that names the server."""
    try:
        yield
    except (aiomysql.MySQLError, StatementError, TimeoutError) as error:
        text = error.args[1] if isinstance(error, aiomysql.MySQLError) and len(error.args) > 1 else error
        raise StartupError(f"--db {address.host}:{address.port}: {text}") from error
