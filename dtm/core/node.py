"""What every pass on this node shares: store, transport, clock, rules. Built once by the application."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dtm.core.clock import Clock
from dtm.core.hookspecs import Event
from dtm.core.lookout import Lookout
from dtm.core.reminders import Reminders
from dtm.core.row import Rules
from dtm.core.store.base import Store
from dtm.core.tally import Tally
from dtm.core.transport.base import Transport
from dtm.core.transport.slots import Slots

CONFIRMED_FOR = 1.0
"""Seconds for which a reading of the row's version counts as knowledge of it (law 5.11)."""


@dataclass(slots=True, kw_only=True)
class Node:
    """One coordinator's shared parts and settings; durations in seconds."""

    store: Store
    transport: Transport
    slots: Slots
    clock: Clock
    rules: Mapping[str, Rules]
    rng: random.Random
    lease: float
    poll_interval: float
    write_behind: float
    branch_type: bool = True
    reply_words: bool = False
    observe: Callable[[Event], None] = lambda event: None
    draining: bool = False
    tally: Tally = field(default_factory=Tally)
    name: str = field(default="")
    lookout: Lookout = field(init=False)
    behind: Reminders = field(init=False)
    """Of saves that are due, `write_behind` after something was learned."""
    margin: float = field(init=False)
    """By how much a lease must outlast a call's time-out: a second, at the default lease of fifteen."""
    _claims: int = 0

    def __post_init__(self) -> None:
        """Give the node a name of its own: owner tokens start with it."""
        self.margin = self.lease / 15
        self.lookout = Lookout(self.store, self.clock)
        self.behind = Reminders(self.write_behind)
        self.name = self.name or uuid.UUID(int=self.rng.getrandbits(128), version=4).hex[:12]

    def token(self) -> str:
        """A fresh owner token, one per claim; short, for a row has room for 24 characters."""
        self._claims += 1
        return f"{self.name}-{self._claims}"

    def lease_for(self, call_timeout: float) -> float:
        """A lease that covers one call, whatever the default is (law 5.12).

        Half a lease is left for the call to begin in: with less, a node whose event loop lags would only renew.
        """
        return max(self.lease, call_timeout + self.margin + self.lease / 2)
