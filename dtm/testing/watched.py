"""A protocol under observation: it does what it does, and all that its plan was asked and said is written down."""

from __future__ import annotations

from dataclasses import replace

from dtm.core.decisions import Decision
from dtm.core.protocol import Protocol
from dtm.core.snapshot import Snapshot
from dtm.testing.history import History, Planned


def watched(protocol: Protocol, history: History) -> Protocol:
    """The same protocol, its plan writing into `history.plans`."""

    def plan(snapshot: Snapshot) -> Decision:
        try:
            decision = protocol.plan(snapshot)
        except Exception as error:
            history.plans.append(Planned(snapshot, None, f"{type(error).__name__}: {error}"))
            raise
        history.plans.append(Planned(snapshot, decision))
        return decision

    return replace(protocol, plan=plan)
