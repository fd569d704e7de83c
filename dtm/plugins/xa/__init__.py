"""XA: two-phase commit over the participants' own databases.

The client prepares the transaction and calls each participant, which works inside an XA transaction of its database,
registers its url as a branch here and leaves the XA transaction prepared. At the end the client submits or aborts; when
it says neither in time, the coordinator aborts.

Then every url is called with op `commit` or `rollback`, one at a time, in the order of registration, until it succeeds.
These calls are POST although they carry no payload.
"""

from __future__ import annotations

import dtm


def register(request: dtm.Request) -> list[dtm.Branch]:
    """One participant: its rollback branch, then its commit branch, both with the same url."""
    body = request.body
    url, payload = body.get("url", ""), body.get("data", "").encode()
    return [dtm.Branch(body["branch_id"], op, url, payload) for op in ("rollback", "commit")]


PROTOCOL = dtm.Protocol(
    name="xa",
    summary="two-phase commit: participants' databases prepare, then all commit or all roll back",
    ops={"rollback": dtm.Op(always_post=True), "commit": dtm.Op(always_post=True)},
    verbs=dtm.TWO_PHASE,
    request_schema="xa.json",
    register=register,
    branch_schema="xa.json#/$defs/branch",
    plan=dtm.ordering.two_phase("commit", "rollback", dtm.ordering.one_by_one),
)


@dtm.hookimpl
def dtm_register_protocols() -> list[dtm.Protocol]:
    """Offer XA."""
    return [PROTOCOL]
