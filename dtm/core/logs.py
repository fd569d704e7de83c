"""What a log line is about, apart from its text: the node, and the transaction and pass in whose name it is written."""

from __future__ import annotations

from contextvars import ContextVar
from logging import LogRecord
from typing import Any

NODE: ContextVar[str] = ContextVar("dtm_node", default="")
"""The node's name; set once, before the event loop starts."""

PASS: ContextVar[tuple[str, int] | None] = ContextVar("dtm_pass", default=None)
"""gid and number of the pass that runs; each pass is a task, and what it starts inherits this."""


def about(gid: str) -> dict[str, Any]:
    """For `extra=` of a line about a transaction that no pass writes."""
    return {"gid": gid}


def fields(record: LogRecord) -> dict[str, Any]:
    """node, gid and pass of a line, as far as it has them. To be asked where the line is written."""
    found: dict[str, Any] = {"node": NODE.get()} if NODE.get() else {}
    running = PASS.get()
    gid = getattr(record, "gid", running[0] if running else None)
    if gid is not None:
        found["gid"] = gid
    if running is not None and running[0] == gid:
        found["pass"] = running[1]
    return found
