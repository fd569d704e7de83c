"""What the events tell: transactions and branches, as DTM's own metrics count them (contract 1.13)."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache

from dtm.core.hookspecs import BranchAnswered, Event, StatusChanged
from dtm.core.model import Outcome, Status
from dtm.core.tally import Histogram

BRANCH_ID = re.compile(r"[0-9]{2}([0-9]{2})?")
"""What SDKs make: two digits per level. Others could be anything, and count as `other`."""

OTHER = "other"


@lru_cache(maxsize=1024)
def _label_of(branch_id: str) -> str:
    return branch_id if BRANCH_ID.fullmatch(branch_id) else OTHER


def _handled() -> Histogram:
    return Histogram(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)


class Events:
    """An observer (`dtm_observe`) that counts. Keys are the values of the labels, in the order of the contract.

    attempts: errors in a row from which on a branch counts as failing, as for the alert webhook.
    """

    def __init__(self, attempts: int) -> None:
        self.created: defaultdict[str, int] = defaultdict(int)
        """By trans_type."""
        self.ended: defaultdict[tuple[str, str], int] = defaultdict(int)
        """By (trans_type, "ok" or "fail")."""
        self.handled: defaultdict[str, Histogram] = defaultdict(_handled)
        """Seconds from creation to end, by trans_type."""
        self.branches: defaultdict[tuple[str, str, str, str], int] = defaultdict(int)
        """Answers by (trans_type, branch_id, op, "ok" or "fail"); questions are none of a branch."""
        self.failing: defaultdict[tuple[str, str], int] = defaultdict(int)
        """Errors from the `attempts`-th in a row on, by (trans_type, op)."""
        self._attempts = max(attempts, 1)

    def __call__(self, event: Event) -> None:
        """Count one event."""
        if isinstance(event, StatusChanged):
            self._moved(event)
        else:
            self._answered(event)

    def _moved(self, event: StatusChanged) -> None:
        if event.before is None:
            self.created[event.trans_type] += 1
        if event.after.final:
            self.ended[event.trans_type, "ok" if event.after is Status.SUCCEED else "fail"] += 1
            self.handled[event.trans_type].add(max(event.time - event.created_at, 0) / 1000)

    def _answered(self, event: BranchAnswered) -> None:
        if event.attempts >= self._attempts and event.outcome in (Outcome.ERROR, Outcome.FAILURE):
            self.failing[event.trans_type, event.op] += 1
        if not event.question:
            status = "ok" if event.outcome is Outcome.SUCCESS else "fail"
            self.branches[event.trans_type, _label_of(event.branch_id), event.op, status] += 1
