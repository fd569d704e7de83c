"""The participants of the public test kit, under the path that the contract's examples use."""

from __future__ import annotations

from dtm.testing import participants
from dtm.testing.participants import ERROR, OK, ONGOING, Reply, Seen, failure

__all__ = ["ERROR", "OK", "ONGOING", "Participants", "Reply", "Seen", "failure"]


class Participants(participants.Participants):
    """One HTTP server, at `/api/busi/`."""

    def __init__(self) -> None:
        super().__init__("/api/busi/")
