"""TCC: try, confirm, cancel. Participants reserve first; then all reservations are confirmed, or all are cancelled.

The client prepares the transaction, registers each participant's `confirm` and `cancel` urls and then calls its *try*
itself. At the end it submits or aborts; when it says neither in time, the coordinator aborts.

Confirms and cancels run one at a time, the last registered first, so that a nested branch comes before its parent.
Neither may fail: each is called until it succeeds. A url left empty is nothing to call.
"""

from __future__ import annotations

import dtm


def register(request: dtm.Request) -> list[dtm.Branch]:
    """One participant: its cancel branch, then its confirm branch, both with the same payload."""
    body = request.body
    payload = body.get("data", "").encode()
    return [dtm.Branch(body["branch_id"], op, body.get(op, ""), payload) for op in ("cancel", "confirm")]


PROTOCOL = dtm.Protocol(
    name="tcc",
    summary="try, confirm, cancel: participants reserve first, then all confirm or all cancel",
    ops={"confirm": dtm.Op(), "cancel": dtm.Op()},
    verbs=dtm.TWO_PHASE,
    request_schema="tcc.json",
    register=register,
    branch_schema="tcc.json#/$defs/branch",
    plan=dtm.ordering.two_phase("confirm", "cancel", dtm.ordering.in_reverse),
)


@dtm.hookimpl
def dtm_register_protocols() -> list[dtm.Protocol]:
    """Offer try-confirm-cancel."""
    return [PROTOCOL]
