"""What the built-in protocols promise beyond the laws for all: orders, all or nothing, delays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dtm import Protocol, Status
from dtm.plugins.saga.branches import predecessors
from dtm.testing import History, Law, in_order, needs_all, not_before, one_way

Body = Mapping[str, Any]
Before = Callable[[History, str, str], bool]


def _custom(body: Body) -> dict[str, Any]:
    return json.loads(body.get("custom_data") or "{}")


def _saga_before(history: History, first: str, then: str) -> bool:
    custom = _custom(history.steps[0].body)
    return first in predecessors(custom).get(then, ()) if custom.get("concurrent") else first < then


def _msg_before(history: History, first: str, then: str) -> bool:
    return first < then and not history.steps[0].body.get("concurrent")


def _registered_before(history: History, first: str, then: str) -> bool:
    ids = [branch.branch_id for branch in history.final.branches] if history.final else []
    return ids.index(first) < ids.index(then)


def _reversed(before: Before) -> Before:
    return lambda history, first, then: before(history, then, first)


def _decided(history: History, protocol: Protocol) -> Iterator[str]:
    submitted = False
    for event in history.events:
        submitted = submitted or (event.kind == "row" and event.status is Status.SUBMITTED)
        if event.kind == "request" and event.key and event.key[1] == "action" and not submitted:
            yield f"{event.key} before the submit"
    if submitted and history.final is not None and history.final.status is Status.FAILED and not history.forced:
        yield "a submitted message failed"


SAGA = (
    needs_all("action"),
    in_order("action", _saga_before),
    in_order("compensate", _reversed(_saga_before), real="action"),
)
TCC = (
    one_way("confirm", "cancel"),
    needs_all("confirm"),
    needs_all("cancel", Status.FAILED),
    in_order("confirm", _reversed(_registered_before)),
    in_order("cancel", _reversed(_registered_before)),
)
XA = (
    one_way("commit", "rollback"),
    needs_all("commit"),
    needs_all("rollback", Status.FAILED),
    in_order("commit", _registered_before),
    in_order("rollback", _registered_before),
)
MSG = (
    needs_all("action"),
    in_order("action", _msg_before),
    not_before("action", lambda body: _custom(body).get("delay", 0)),
    Law("decided", "Delivered if, and only if, it was decided.", _decided),
)
