"""Reading: one transaction with its branches, and lists of them (contract 1.7, 1.8)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import orjson

from dtm.core.errors import InvalidRequest
from dtm.core.model import Branch, BranchStatus, Options, Outcome, Status, Transaction
from dtm.core.row import Rules
from dtm.core.service.intake import OPTION_KEYS
from dtm.core.service.times import rfc3339
from dtm.core.store.base import QUARANTINE, Filter, Store

DEFAULTS = Options()
LOOKED_AT = 1000


class Queries:
    """What the API shows of what is stored."""

    def __init__(self, store: Store, rules: Mapping[str, Rules], attempts: int) -> None:
        self._attempts = max(attempts, 1)
        self._store = store
        self._rules = rules

    async def query(self, gid: str) -> dict[str, Any]:
        """A transaction with its branches in the order they were made; null and none when there is no such gid.

        `questions`, if any were put to the application, look like branches.
        """
        if not gid:
            raise InvalidRequest("/gid", "no gid specified")
        tx = await self._store.load(gid)
        if tx is None:
            return {"branches": [], "transaction": None}
        found = {"branches": [branch_view(tx, branch) for branch in tx.branches], "transaction": self.view(tx)}
        return found | ({"questions": [branch_view(tx, each) for each in tx.questions]} if tx.questions else {})

    async def all(
        self,
        limit: int,
        position: str,
        *,
        gid: str = "",
        status: str = "",
        trans_type: str = "",
        created_from: int | None = None,
        created_to: int | None = None,
    ) -> dict[str, Any]:
        """Newest first, page by page; with a gid that one alone, other filters ignored (null when unknown)."""
        if gid:
            tx = await self._store.load(gid)
            return {"next_position": "", "transactions": None if tx is None else [self.view(tx)]}
        if status and status not in set(Status):
            raise InvalidRequest("/status", f"expected one of {', '.join(Status)}")
        wanted = Filter(status, trans_type, created_from, created_to)
        found, cursor = await self._store.scan(wanted, position, limit)
        return {"next_position": cursor, "transactions": [self.view(tx) for tx in found]}

    async def attention(self, position: str) -> dict[str, Any]:
        """Of the next 1000 unfinished ones, newest first, those that somebody should look at; go on by the cursor.

        They are in quarantine, cannot be read, had a bad plan, or something of theirs failed `alert_retry_limit` times.
        """
        found, cursor = await self._store.scan(Filter(unfinished=True), position, LOOKED_AT)
        return {"next_position": cursor, "transactions": [self.view(tx) for tx in found if self._in_trouble(tx)]}

    def _in_trouble(self, tx: Transaction) -> bool:
        if tx.trouble or tx.due_at == QUARANTINE:
            return True
        return any(each.pending and each.attempts >= self._attempts for each in (*tx.branches, *tx.questions))

    def view(self, tx: Transaction) -> dict[str, Any]:
        """A transaction as replies show it; zero values are left out, but for four keys."""
        next_at = tx.next_at if tx.owner or tx.status.final or tx.due_at == QUARANTINE else tx.due_at
        finished = rfc3339(tx.finished_at) if tx.finished_at else None
        shown = {
            "query_prepared": tx.body.get("query_prepared"),
            "finish_time": finished if tx.status is Status.SUCCEED else None,
            "rollback_time": finished if tx.status is Status.FAILED else None,
            "result": tx.result,
            "rollback_reason": tx.reason,
            "options": options_text(tx.options),
            "custom_data": tx.custom_data,
            "next_cron_interval": self._interval(tx),
            "next_cron_time": rfc3339(next_at) if next_at else None,
            "owner": tx.owner,
            "trouble": tx.trouble,
            "quarantined": tx.due_at == QUARANTINE,
        }
        return {
            "id": 0,
            "create_time": rfc3339(tx.created_at),
            "update_time": rfc3339(tx.updated_at or tx.created_at),
            "gid": tx.gid,
            "trans_type": tx.trans_type,
            "protocol": "http",
            "status": tx.status,
            "concurrent": tx.options.concurrent,
        } | {key: value for key, value in shown.items() if value}

    def _interval(self, tx: Transaction) -> int:
        """Seconds that the next wait is reckoned from: B, doubled per error unless the last answer was ONGOING."""
        rules = self._rules.get(tx.trans_type)
        if rules is None:
            return 0
        tried = [b for b in (*tx.branches, *tx.questions) if b.pending and b.log]
        failing = [b.attempts for b in tried if b.log[-1].outcome is not Outcome.ONGOING]
        return round(rules.interval(tx, max(failing, default=0)))


def options_text(options: Options) -> str:
    """The options as JSON text: zero values left out, but for `concurrent`."""
    given = {key: getattr(options, key) for key in OPTION_KEYS}
    shown = {key: value for key, value in given.items() if key == "concurrent" or value != getattr(DEFAULTS, key)}
    return orjson.dumps(shown).decode()


def branch_view(tx: Transaction, branch: Branch) -> dict[str, Any]:
    """A branch as replies show it, with the story of its calls."""
    ended = rfc3339(branch.ended_at or tx.created_at)
    shown = {
        "url": branch.url,
        "bin_data": base64.b64encode(branch.payload).decode(),
        "finish_time": ended if branch.status is BranchStatus.SUCCEED else None,
        "rollback_time": ended if branch.status is BranchStatus.FAILED else None,
        "start_time": None if branch.started_at is None else rfc3339(branch.started_at),
        "start_count": branch.started,
    }
    attempts = [
        {"time": rfc3339(a.time), "duration_ms": a.duration_ms, "outcome": a.outcome, "error": a.error}
        for a in branch.log
    ]
    return {
        "id": 0,
        "create_time": rfc3339(tx.created_at),
        "update_time": ended,
        "gid": tx.gid,
        "branch_id": branch.branch_id,
        "op": branch.op,
        "status": branch.status,
        "attempts": attempts,
        "attempt_count": branch.answered,
    } | {key: value for key, value in shown.items() if value}
