"""What the API has answered, by route: counted when a reply has been sent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from dtm.core.tally import Histogram

OTHER = "other"
"""The name of every path that is no route of ours: strangers must not invent labels."""


@dataclass(slots=True)
class Served:
    """One route: answers below 400, answers from there on, and the seconds they took."""

    ok: int = 0
    failed: int = 0
    seconds: Histogram = field(
        default_factory=lambda: Histogram(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
    )


class Traffic:
    """Answers by the handler that gave them; a handler that is not known counts as `other`."""

    def __init__(self) -> None:
        self._others = Served()
        self._by_handler: dict[type, Served] = {}
        self.served: dict[str, Served] = {OTHER: self._others}
        """By the name of the route: the last fixed part of its path, in small letters."""

    def know(self, routes: Iterable[tuple[str, type]]) -> None:
        """These paths (patterns, with the parts that vary in parentheses) are routes."""
        for path, handler in routes:
            name = re.sub(r"\(.*?\)", "", path).rstrip("/").rpartition("/")[2].lower()
            self._by_handler[handler] = self.served[name] = Served()

    def count(self, handler: type, status: int, seconds: float) -> None:
        """A request has been answered."""
        served = self._by_handler.get(handler, self._others)
        if status < 400:
            served.ok += 1
        else:
            served.failed += 1
        served.seconds.add(seconds)
