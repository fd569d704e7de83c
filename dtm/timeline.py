"""The timeline of a transaction, as `dtm show` prints it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import IO, Any
from urllib.parse import urlencode, urlsplit

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPResponse

from dtm.core.model import LOG_FIRST
from dtm.terminal import harmless, show

TIMEOUT = 10.0
COLOURS = {
    "succeed": "green", "failed": "red", "aborting": "yellow", "submitted": "cyan", "prepared": "cyan",
    "SUCCESS": "green", "FAILURE": "red", "ERROR": "red", "ONGOING": "yellow",
}  # fmt: skip

Reply = Mapping[str, Any]
"""A reply of `GET query` that has a transaction: {"transaction": {...}, "branches": [{...}]}."""


class CannotShow(click.ClickException):
    """There is nothing to show: one line on stderr, exit status 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Say why, as the other commands do."""
        click.echo(f"dtm: {self.message}", err=True, file=file)


def show_transaction(gid: str, server: str, token: str | None) -> None:
    """Print the timeline of one transaction of the coordinator at `server`. CannotShow when that is not to be had."""
    show(render_timeline(asyncio.run(_fetch(gid, server.rstrip("/"), token))))


async def _fetch(gid: str, server: str, token: str | None) -> Reply:
    if not _is_address(server):
        raise CannotShow(f"--server: expected http://HOST:PORT, got {server!r}")
    url = f"{server}/api/dtmsvr/query?{urlencode({'gid': gid})}"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        reply = await AsyncHTTPClient().fetch(
            url, headers=headers, raise_error=False, follow_redirects=False, request_timeout=TIMEOUT
        )
    except (OSError, HTTPClientError) as error:
        raise CannotShow(f"no coordinator answers at {server}: {harmless(str(error))}") from error
    return _understood(gid, server, reply)


def _is_address(server: str) -> bool:
    try:
        url = urlsplit(server)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # a port that is none
        return False


def _understood(gid: str, server: str, reply: HTTPResponse) -> Reply:
    """What the coordinator said, if it is about this transaction."""
    try:
        body = json.loads(reply.body)
        message = harmless(str(body.get("message", "")))
    except (ValueError, AttributeError):
        raise CannotShow(f"what answers at {server} is no coordinator (status {reply.code}, no JSON)") from None
    if reply.code in (401, 403):
        raise CannotShow(f"{server} refuses: {message} (give it by --token or DTM_TOKEN)")
    if reply.code != 200:
        raise CannotShow(f"{server} answers {reply.code}: {message}")
    if not body.get("transaction"):
        raise CannotShow(f"{server} knows no transaction {gid!r}")
    return dict(body)


def render_timeline(reply: Reply) -> RenderableType:
    """Everything known of one transaction, for a rich console: how it stands, then each call in order of time."""
    return Group(_head(reply["transaction"]), Text(), _calls(reply), *_remarks(reply))


def _head(transaction: Mapping[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    status = transaction["status"]
    ended = transaction.get("finish_time") or transaction.get("rollback_time")
    facts = {
        "gid": Text(harmless(transaction["gid"])),
        "type": Text(harmless(transaction["trans_type"])),
        "status": Text(status, COLOURS.get(status, "")),
        "reason": Text(harmless(transaction.get("rollback_reason", ""))),
        "trouble": Text(harmless(transaction.get("trouble", "")), "red"),
        "created": Text(transaction["create_time"]),
        "took": Text(_span(_ms(ended) - _ms(transaction["create_time"])) if ended else ""),
    }
    for name, fact in facts.items():
        if fact:
            table.add_row(Text(name, "dim"), fact)
    return table


def _calls(reply: Reply) -> Table:
    """One row for each call that ended or is in doubt, in order of time; then those that are to come."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("at", "branch", "op", "outcome", "took"):
        table.add_column(name, no_wrap=True, justify="right" if name in ("at", "took") else "left")
    table.add_column("participant", overflow="fold")
    created = _ms(reply["transaction"]["create_time"])
    rows = [row for branch in _all(reply) for row in _attempts(branch, created)]
    rows += _cut_off(reply, created)
    rows += _to_come(reply, created)
    for _, cells in sorted(rows, key=lambda row: row[0]):
        table.add_row(*cells)
    return table


Row = tuple[int, tuple[Text, ...]]
"""When it happened (ms), and the cells of the table."""


def _attempts(branch: Mapping[str, Any], created: int) -> Iterator[Row]:
    log = branch.get("attempts", [])
    left_out = branch.get("attempt_count", 0) - len(log)
    for number, attempt in enumerate(log):
        time = _ms(attempt["time"])
        if number == LOG_FIRST and left_out > 0:
            yield time, _cells(None, branch, Text(f"... {left_out} more", "dim"), "", "")
        outcome = Text(attempt["outcome"], COLOURS.get(attempt["outcome"], ""))
        yield time, _cells(time - created, branch, outcome, _span(attempt["duration_ms"]), attempt["error"])


def _cut_off(reply: Reply, created: int) -> Iterator[Row]:
    """First calls of whose end nobody heard: their node died, or their kept connection, and they were sent again."""
    for branch in _all(reply):
        if _in_doubt(reply, branch)[0]:
            time = _ms(branch["start_time"])
            remark = "begun, and not heard how it ended"
            yield time, _cells(time - created, branch, Text("unknown", "yellow"), "", remark)


def _in_doubt(reply: Reply, branch: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether the first call was not heard of, and whether another one may have begun that was not."""
    log = branch.get("attempts", [])
    begun, heard = branch.get("start_count", 0), branch.get("attempt_count", 0)
    # Of the first it is certain, while its story is whole; in the numbers an attempt that was not sent hides one.
    whole = "start_time" in branch and heard == len(log)
    first = whole and all(branch["start_time"] != attempt["time"] for attempt in log)
    unheard = max(begun - heard, int(first)) - _running(reply, branch)
    return first and unheard > 0, unheard > first


def _to_come(reply: Reply, created: int) -> list[Row]:
    """What was called and has to be called again; nothing once the transaction has ended."""
    transaction = reply["transaction"]
    again = [branch for branch in _all(reply) if branch["status"] == "prepared" and _called(branch)]
    if _ended(transaction) or "next_cron_time" not in transaction:
        return []
    if transaction.get("owner"):
        return [(_NEVER, _cells(None, branch, Text("running now", "cyan"), "", "")) for branch in again]
    time = _ms(transaction["next_cron_time"])
    return [(_NEVER, _cells(time - created, branch, Text("next try", "cyan"), "", "")) for branch in again]


def _running(reply: Reply, branch: Mapping[str, Any]) -> bool:
    """Whether a call of it may be in flight now."""
    return branch["status"] == "prepared" and bool(reply["transaction"].get("owner"))


def _called(branch: Mapping[str, Any]) -> bool:
    """Whether a call is known to have begun, or to have failed to."""
    return bool(branch.get("attempts")) or "start_time" in branch


_NEVER = 2**63
"""Sorts after everything that has happened."""


def _cells(offset: int | None, branch: Mapping[str, Any], outcome: Text, took: str, error: str) -> tuple[Text, ...]:
    participant = Text(harmless(branch.get("url", "")), "dim")
    if error:
        participant.append(f"  {harmless(error)}", "not dim red")
    at = "" if offset is None else f"+{offset / 1000:.3f} s"
    return Text(at), Text(harmless(branch["branch_id"])), Text(harmless(branch["op"])), outcome, Text(took), participant


def _remarks(reply: Reply) -> Iterator[Text]:
    """The branches without a call: nothing to call, or not called so far; then those of which a call may be unknown."""
    quiet = [branch for branch in _all(reply) if not _called(branch)]
    found = {
        "nothing to call": [branch for branch in quiet if branch["status"] == "succeed"],
        "not called" if _ended(reply["transaction"]) else "not called yet": [
            branch for branch in quiet if branch["status"] == "prepared"
        ],
        "perhaps called once more than is known": [branch for branch in _all(reply) if _in_doubt(reply, branch)[1]],
    }
    for what, branches in found.items():
        if branches:
            names = ", ".join(f"{branch['branch_id']} {branch['op']}" for branch in branches)
            yield Text(f"{what}: {harmless(names)}", "dim")


def _all(reply: Reply) -> Iterable[Mapping[str, Any]]:
    """The branches and the questions put to the application."""
    return [*reply["branches"], *reply.get("questions", [])]


def _ended(transaction: Mapping[str, Any]) -> bool:
    return transaction["status"] in ("succeed", "failed")


def _ms(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def _span(ms: int) -> str:
    return f"{ms} ms" if ms < 10_000 else f"{ms / 1000:.1f} s"
