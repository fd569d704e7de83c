"""The use cases behind the API: what each request means, whoever sends it."""

from __future__ import annotations

import os

from dtm.core.errors import StoreUnavailable
from dtm.core.node import Node
from dtm.core.passes import Passes
from dtm.core.service.branching import Branching
from dtm.core.service.intake import Reader
from dtm.core.service.queries import Queries
from dtm.core.service.schedule import Schedule
from dtm.core.service.topics import Topics
from dtm.core.service.verbs import Verbs
from dtm.core.service.waiting import Waiting
from dtm.core.service.writing import Writer

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
GID_CHARS = 22


class Service:
    """The facade that the web room calls: `verbs`, `queries`, `topics`, `schedule`."""

    def __init__(
        self, node: Node, passes: Passes, reader: Reader, *, timeout_to_fail: float, attempts: int = 3
    ) -> None:
        """`attempts`: errors in a row of one branch after which somebody should look at it."""
        self._node = node
        writer = Writer(node, passes)
        self.topics = Topics(node.store, Branching(node.transport))
        self.queries = Queries(node.store, node.rules, attempts)
        self.schedule = Schedule(node, passes, reader, timeout_to_fail)
        self.verbs = Verbs(node, reader, writer, Waiting(node, passes), self.topics)

    def new_gid(self) -> str:
        """A fresh gid: 128 random bits, 22 letters and digits that nobody confuses when reading them aloud."""
        number = int.from_bytes(os.urandom(16))
        chars = []
        for _ in range(GID_CHARS):
            number, digit = divmod(number, len(ALPHABET))
            chars.append(ALPHABET[digit])
        return "".join(chars)

    async def ready(self) -> None:
        """Return when requests are welcome; StoreUnavailable while draining, or while the store takes no writes."""
        if self._node.draining:
            raise StoreUnavailable("shutting down")
        await self._node.store.ping()
