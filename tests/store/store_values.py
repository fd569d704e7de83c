"""Values for the store's tests."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from dtm.core.clock import Clock
from dtm.core.model import Branch, Options, Status, Transaction
from dtm.core.store.base import Hold, Save

LEASE = 15.0


class FixedClock(Clock):
    """A clock that stands still."""

    def boot(self) -> float:
        return 1000.0

    def wall(self) -> int:
        return 1_750_000_000_000


def make_tx(gid, status=Status.SUBMITTED, **changes):
    """A transaction of two branches, as the service would insert it."""
    urls = ["http://bank/TransOut", "http://bank/TransOutRevert"]
    body = {"gid": gid, "steps": [{"action": urls[0], "compensate": urls[1]}], "payloads": ['{"amount":30}']}
    branches = (Branch("01", "action", urls[0], b'{"amount":30}'), Branch("01", "compensate", urls[1], b"\xff\x00"))
    tx = Transaction(
        gid=gid,
        trans_type="kind",
        protocol_version="1",
        status=status,
        created_at=1_750_000_000_000,
        body=body,
        options=Options(wait_result=True, branch_headers={"x-test": "1"}),
        custom_data='{"orders":{}}',
        branches=branches,
    )
    return replace(tx, **changes)


def owned(store, gid, owner="node-a", status=Status.SUBMITTED, **changes):
    """A transaction held by a node: as an insert with capacity makes it."""
    held = {"owner": owner, "doubt": True, "due_at": store.now() + round(LEASE * 1000), **changes}
    return make_tx(gid, status, **held)


def free(store, gid, due_in=0.0, status=Status.SUBMITTED, **changes):
    """A transaction that nobody holds, due `due_in` seconds from now."""
    return make_tx(gid, status, due_at=store.now() + round(due_in * 1000), **changes)


def parked(tx, due_at=None, **changes):
    """The save that gives a row back."""
    return Save(replace(tx, **changes), tx.version, hold=Hold("", due_at), doubt=False)


def finished(tx, at, status=Status.SUCCEED):
    """The save that ends a transaction."""
    return parked(tx, status=status, finished_at=at)


def run(coroutine):
    """Run a coroutine on a loop of its own, for hypothesis. The current loop, if any, is left alone."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()
