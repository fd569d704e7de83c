"""What a saga's request becomes: two branches per step, and the order in which steps may run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dtm


def expand(request: dtm.Request) -> list[dtm.Branch]:
    """Per step its compensate branch, then its action branch; both carry the step's payload."""
    steps = request.body.get("steps", ())
    texts = _texts(steps, request.body.get("payloads", ()))
    if request.custom:
        _check(request.custom, len(steps))
    branches = []
    for index, step in enumerate(steps):
        branch_id, payload = _branch_id(index), texts[index].encode()
        branches.append(dtm.Branch(branch_id, "compensate", step.get("compensate", ""), payload))
        branches.append(dtm.Branch(branch_id, "action", step.get("action", ""), payload))
    return branches


def predecessors(custom: Mapping[str, Any]) -> dict[str, set[str]]:
    """The `orders` of custom_data by branch_id: whose actions must have succeeded before this one's."""
    orders = custom.get("orders") or {}
    return {_branch_id(int(step)): {_branch_id(other) for other in before or ()} for step, before in orders.items()}


def _branch_id(index: int) -> str:
    return f"{index + 1:02d}"


def _texts(steps: Any, payloads: Any) -> Any:
    """The payloads of the steps, in their order."""
    if len(payloads) < len(steps):
        payloads = [*payloads, *[step["data"] for step in steps if step.get("data")]]  # clients of 2021 send `data`
    if len(payloads) < len(steps):
        raise dtm.InvalidRequest("/payloads", f"expected one for each of the {len(steps)} steps, got {len(payloads)}")
    return payloads


def _check(custom: Mapping[str, Any], count: int) -> None:
    """Refuse what would leave steps that can never run; null means absent."""
    concurrent, orders = custom.get("concurrent"), custom.get("orders")
    if not isinstance(concurrent, bool | None):
        raise dtm.InvalidRequest("/custom_data", "concurrent must be true or false")
    if not orders and isinstance(orders, Mapping | None):
        return
    _check_orders(orders, count)
    graph = predecessors(custom)
    if not concurrent:  # the sequential rule holds on top of `orders`
        for index in range(1, count):
            graph.setdefault(_branch_id(index), set()).add(_branch_id(index - 1))
    if dtm.ordering.has_cycle(graph):
        raise dtm.InvalidRequest("/custom_data", "orders is cyclic: some steps could never start")


def _check_orders(orders: Any, count: int) -> None:
    shape = f"orders must be an object: step -> list of the steps before it, numbered from 0 to {count - 1}"
    if not isinstance(orders, Mapping):
        raise dtm.InvalidRequest("/custom_data", shape)
    numbers = {str(index) for index in range(count)}
    for step, before in orders.items():
        if step not in numbers or not isinstance(before, list | tuple | None):
            raise dtm.InvalidRequest("/custom_data", f"{shape}; not {step!r}: {before!r}")
        for other in before or ():
            if type(other) is not int or not 0 <= other < count:
                raise dtm.InvalidRequest("/custom_data", f"{shape}; not {other!r}, which {step!r} lists")
