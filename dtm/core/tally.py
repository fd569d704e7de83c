"""Plain counting, by the objects that know; whoever wants to see the figures reads them there.

Nothing in here knows who looks: a count costs an addition, and names and labels are somebody else's affair.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from dtm.core.model import Outcome


class Histogram:
    """How many values were at most so large: `counts[i]` of those in (bounds[i-1], bounds[i]], the last of the rest."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, *bounds: float) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum: float = 0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)


@dataclass(slots=True)
class Tally:
    """What the passes of one node count together; none of them lives long enough to be asked."""

    calls_sent: int = 0
    """Requests of participants whose first byte was about to leave; one sent again on a new connection counts twice."""
    in_flight: int = 0
    """Calls that have begun, and neither landed nor were cut off."""
    landed: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    """Calls that were sent and landed, by outcome."""
    unsent: int = 0
    """Calls that failed before a byte was sent."""
    bad_plans: int = 0
    stale_leases: int = 0
    """Passes that found their row in other hands, or gone: whatever they still wrote was refused."""
    lost_commits: int = 0
    """Transactions stopped because the database knew less of them than had been stored."""
