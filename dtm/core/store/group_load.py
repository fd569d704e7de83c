"""Group loading: rows that are asked for while others are being read are read together, in the next statement.

A statement begins after all its rows were asked for, so each answer is as new as if it had been read alone. What the
engine hands in is one coroutine, `read(gids)`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from dtm.core.errors import CorruptRow, DtmError, StoreUnavailable
from dtm.core.model import Transaction
from dtm.core.store.lanes import Lanes, Waiting

MOST = 50
"""Rows of one statement: so few that large ones do not fill the memory, so many that its own cost counts no more."""

log = logging.getLogger(__name__)

Found = Transaction | CorruptRow
"""A row, or why it cannot be read: nobody else's concern."""

Read = Callable[[Sequence[str]], Awaitable[Mapping[str, Found]]]
"""The rows that there are of these gids, which are all different. StoreUnavailable: none of them could be read."""


class _Asker(Waiting[Transaction | None]):
    """Whoever waits for a row."""

    __slots__ = ("gid",)

    def __init__(self, gid: str, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        super().__init__(loop, timeout)
        self.gid = gid


class GroupLoad(Lanes[_Asker]):
    """One queue in front of `lanes` concurrent reads. `timeout` in seconds, for each row."""

    def __init__(self, read: Read, *, lanes: int = 1, timeout: float = 5.0) -> None:
        super().__init__(lanes, timeout)
        self._read = read
        self._flying: set[_Asker] = set()

    def load(self, gid: str) -> asyncio.Future[Transaction | None]:
        """The row of a gid, or None. StoreUnavailable; CorruptRow."""
        loop = asyncio.get_running_loop()
        asker = _Asker(gid, loop, self._timeout)
        self._enter(asker, loop)
        return asker.answer

    def _in_flight(self) -> Iterable[_Asker]:
        return self._flying

    def _late(self, *, in_flight: bool) -> DtmError:
        return StoreUnavailable("the database has not answered")

    def _gather(self) -> list[_Asker]:
        waiting = [asker for asker in self._queue if not asker.answer.done()]
        batch, self._queue = waiting[:MOST], waiting[MOST:]
        self._flying.update(batch)
        return batch

    def _landed(self, batch: list[_Asker]) -> None:
        self._flying.difference_update(batch)

    async def _carry(self, batch: list[_Asker]) -> None:
        gids = list(dict.fromkeys(asker.gid for asker in batch))
        try:
            found = await self._read(gids)
        except Exception as error:
            if not isinstance(error, StoreUnavailable):
                log.exception("a load of %d rows failed", len(gids))
            for asker in batch:
                if not asker.answer.done():  # one each: a traceback is not to be shared
                    asker.answer.set_exception(StoreUnavailable(str(error)))
            return
        for asker in batch:
            if asker.answer.done():
                continue
            row = found.get(asker.gid)
            if isinstance(row, CorruptRow):
                asker.answer.set_exception(CorruptRow(str(row)))
            else:
                asker.answer.set_result(row)
