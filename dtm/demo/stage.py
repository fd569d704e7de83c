"""What a scenario plays on: a coordinator and two banks in this process, and a client that says what it asks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from rich.table import Table
from rich.text import Text
from tornado.httpclient import AsyncHTTPClient, HTTPClientError

from dtm.core.app import App
from dtm.core.config import Settings
from dtm.demo.bank import Bank
from dtm.demo.ledger import Ledger
from dtm.demo.participant import Participant
from dtm.terminal import show

OPENING = 100

P = TypeVar("P", bound=Participant)


class Stage(Generic[P]):
    """`ask` and `call` speak HTTP, as any client would; `note_balances` adds a column to the table of balances."""

    def __init__(self, coordinator: str, a: P, b: P) -> None:
        self.coordinator = coordinator
        self.a = a
        self.b = b
        self.gid = ""
        self.answers: list[int] = []
        """The status of each answer that the client heard."""
        self._client = AsyncHTTPClient()
        self._balances: list[tuple[str, list[tuple[int, int]]]] = []

    async def new_gid(self) -> None:
        """Have the coordinator make a gid."""
        self.gid = (await self.get("newGid"))["gid"]

    async def get(self, noun: str, **query: str) -> Any:
        """What the coordinator shows."""
        reply = await self._client.fetch(f"{self.coordinator}/api/dtmsvr/{noun}?{urlencode(query)}")
        return json.loads(reply.body)

    async def ask(self, verb: str, body: Mapping[str, Any]) -> None:
        """Ask the coordinator for something, and say so."""
        await self._post(f"{self.coordinator}/api/dtmsvr/{verb}", {"gid": self.gid, **body})

    async def call(
        self, url: str, trans_type: str, branch_id: str, op: str, body: Mapping[str, Any], **more: str
    ) -> None:
        """Call a bank as the client, and say so; `more` goes into the query too."""
        query = {"gid": self.gid, "trans_type": trans_type, "branch_id": branch_id, "op": op, **more}
        await self._post(f"{url}?{urlencode(query)}", body)

    async def _post(self, url: str, body: Mapping[str, Any]) -> None:
        try:
            reply = await self._client.fetch(url, method="POST", body=json.dumps(body), raise_error=False)
            status, text = reply.code, reply.body.decode()
        except HTTPClientError as error:
            status, text = error.code, str(error)
        self.answers.append(status)
        show(Text(f"POST {url}", "bold"), Text(_laid_out(body)), Text(f"-> {status} {text}", "dim"))

    async def note_balances(self, when: str) -> None:
        """Remember how the accounts stand."""
        self._balances.append((when, [await bank.balance() for bank in (self.a, self.b)]))

    def balances(self) -> Table:
        """What was noted, one column each."""
        table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
        table.add_column("account")
        for when, _ in self._balances:
            table.add_column(when, justify="right")
        for row, bank in enumerate((self.a, self.b)):
            table.add_row(f"bank {bank.name}", *(_money(*noted[row]) for _, noted in self._balances))
        return table


@asynccontextmanager
async def in_files(folder: Path, *, b_accepts: bool) -> AsyncIterator[tuple[Bank, Bank]]:
    """Two banks whose books are files in `folder`; bank B refuses everything unless it accepts."""
    yield (
        Bank("A", Ledger(folder / "a.db", OPENING)),
        Bank("B", Ledger(folder / "b.db", OPENING, accepting=b_accepts)),
    )


@asynccontextmanager
async def raised(folder: Path, a: P, b: P) -> AsyncIterator[Stage[P]]:
    """A stage with these two on it; the coordinator's file lies in `folder`."""
    app = App(Settings(store=f"sqlite:///{folder}/dtm.db", port=0))
    a.start()
    b.start()
    await app.start()
    try:
        yield Stage(f"http://127.0.0.1:{app.port}", a, b)
    finally:
        await app.stop()
        await a.stop()
        await b.stop()


def _money(balance: int, frozen: int) -> str:
    return f"{balance} ({frozen} frozen)" if frozen else str(balance)


def _laid_out(body: Mapping[str, Any]) -> str:
    """A JSON object, one key a line, and one line for each step."""
    lines = []
    for key, value in body.items():
        text = json.dumps(value)
        if isinstance(value, list) and len(text) > 60:
            text = "[\n    " + ",\n    ".join(map(json.dumps, value)) + "\n  ]"
        lines.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}" if len(lines) > 1 else json.dumps(body)
