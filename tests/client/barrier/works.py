"""What participants of these tests do when they are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dtm.client import Barrier
from tests.client.barrier.kinds import Kind


def barrier(gid: str, op: str) -> Barrier:
    return Barrier.from_query({"trans_type": "saga", "gid": gid, "branch_id": "01", "op": op})


def business(kind: Kind, gid: str, op: str, *then: str | Exception) -> Callable[[Any], Any]:
    """What a participant does: an entry of the ledger, then statements, of which an exception is raised."""

    def steps() -> list[tuple[str, tuple[str, ...]] | Exception]:
        entry = ("INSERT INTO ledger (gid, op) VALUES (?, ?)", (gid, op))
        return [entry, *(step if isinstance(step, Exception) else (step, ()) for step in then)]

    def work(connection: Any) -> str:
        for step in steps():
            if isinstance(step, Exception):
                raise step
            kind.do(connection, *step)
        return "done"

    async def work_async(connection: Any) -> str:
        for step in steps():
            if isinstance(step, Exception):
                raise step
            await kind.do(connection, *step)
        return "done"

    return work_async if kind.asynchronous else work
