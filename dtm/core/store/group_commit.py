"""Group commit: the writes that arrive while a flush is in flight go to the database together, in the next one.

What the engine hands in is one coroutine, `flush(items)`, which says of each item whether it was written.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from dtm.core.errors import DtmError, OutcomeUnknown, StoreUnavailable
from dtm.core.model import Transaction
from dtm.core.store.base import Save
from dtm.core.store.lanes import Lanes, Waiting
from dtm.core.tally import Histogram
from dtm.core.values import maker

MAX_ROWS = 200
MAX_BYTES = 1_000_000
ROW_BYTES = 200
"""About what a row's columns take besides its documents."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Insert:
    """A new row: `tx` complete with id and version, and its two documents (empty where the engine has no use)."""

    tx: Transaction
    request: bytes
    state: bytes

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        return ROW_BYTES + len(self.request) + len(self.state)


new_insert = maker(Insert)


@dataclass(frozen=True, slots=True)
class Update:
    """A compare-and-set: `change`, the version it means to write, the time, the documents (None: not written)."""

    change: Save
    version: int
    now: int
    request: bytes | None
    state: bytes

    @property
    def tx(self) -> Transaction:
        """The transaction as it is to be stored."""
        return self.change.tx

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        return ROW_BYTES + len(self.request or b"") + len(self.state)


new_update = maker(Update)


Item = Insert | Update

Verdict = bool | DtmError
"""Of one item: written; not written, because the gid exists or the version is another; or its own error."""

Flush = Callable[[list[Item]], Awaitable[list[Verdict]]]
"""Write a batch; one verdict per item, in order.

Raises OutcomeUnknown: its fate is not known. StoreUnavailable: certainly nothing was done. Any other DtmError: nothing
was done, and one of the items is to blame.
"""


class _Write(Waiting[bool]):
    """An item, and whoever waits for its `answer`."""

    __slots__ = ("item", "tx")

    def __init__(self, item: Item, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        super().__init__(loop, timeout)
        self.item = item
        self.tx = item.tx


class GroupCommit(Lanes[_Write]):
    """One queue in front of `lanes` concurrent flushes.

    `timeout` in seconds, for each item: still queued then, it is withdrawn (StoreUnavailable); in a flush, its fate is
    unknown to its caller (OutcomeUnknown) while the flush goes on. At most one item per gid is in flight, so that the
    writes of one transaction keep their order.
    """

    def __init__(self, flush: Flush, *, lanes: int = 1, timeout: float = 5.0) -> None:
        super().__init__(lanes, timeout)
        self.sizes = Histogram(1, 2, 5, 10, 20, 50, 100, 200)
        """Batches sent so far, by how many items they had."""
        self.seconds = Histogram(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
        """The same, by how long they took."""
        self.unknown = 0
        """Items whose fate their writers were not told."""
        self._backend = flush
        self._flying: dict[str, _Write] = {}

    @property
    def flushes(self) -> int:
        """Batches sent so far."""
        return self.sizes.count

    @property
    def items(self) -> int:
        """Items sent so far, in these batches."""
        return int(self.sizes.sum)

    def write(self, item: Item) -> asyncio.Future[bool]:
        """Write an item: True, durably, or False on a conflict. StoreUnavailable, OutcomeUnknown, or its own error.

        A cancelled caller takes its item along while that is still queued; an item in a flush stays there.
        """
        loop = asyncio.get_running_loop()
        waiting = _Write(item, loop, self._timeout)
        self._enter(waiting, loop)
        return waiting.answer

    def _in_flight(self) -> Iterable[_Write]:
        return self._flying.values()

    def _late(self, *, in_flight: bool) -> DtmError:
        if not in_flight:
            return StoreUnavailable("the database is too slow: the write was withdrawn")
        self.unknown += 1
        return OutcomeUnknown("the database has not answered: the write may be stored")

    def _gather(self) -> list[_Write]:
        batch: list[_Write] = []
        left: list[_Write] = []
        size = 0
        for place, waiting in enumerate(self._queue):
            if waiting.answer.done():
                continue  # its writer has gone
            gid = waiting.tx.gid
            if gid in self._flying:
                left.append(waiting)
                continue
            size += waiting.item.size
            if batch and (size > MAX_BYTES or len(batch) == MAX_ROWS):
                left += self._queue[place:]
                break
            self._flying[gid] = waiting
            batch.append(waiting)
        self._queue = left
        # In key order: overlapping unsorted batches meet deadlocks, sorted ones do not.
        return sorted(batch, key=lambda waiting: waiting.tx.id)

    async def _timed(self, items: list[Item]) -> list[Verdict]:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            return await self._backend(items)
        finally:
            self.seconds.add(clock() - began)

    def _landed(self, batch: list[_Write]) -> None:
        for waiting in batch:
            del self._flying[waiting.tx.gid]

    async def _carry(self, batch: list[_Write]) -> None:
        self.sizes.add(len(batch))
        try:
            verdicts = await self._timed([waiting.item for waiting in batch])
        except (OutcomeUnknown, StoreUnavailable) as error:
            verdicts = [type(error)(str(error)) for _ in batch]  # one each: a traceback is not to be shared
        except DtmError as error:
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._carry(batch[:middle])
                await self._carry(batch[middle:])
                return
            verdicts = [error]
        except Exception as error:
            log.exception("a flush of %d items failed", len(batch))
            verdicts = [OutcomeUnknown(f"the write may be stored: {error!r}") for _ in batch]
        for waiting, verdict in zip(batch, verdicts, strict=True):
            if waiting.answer.done():
                continue
            if isinstance(verdict, bool):
                waiting.answer.set_result(verdict)
            else:
                self.unknown += isinstance(verdict, OutcomeUnknown)
                waiting.answer.set_exception(verdict)
