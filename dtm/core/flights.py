"""The calls that one pass has in the air: a wish waits for a slot and a connection, passes the gate, flies, lands."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Container
from dataclasses import dataclass
from functools import partial

from dtm.core.bell import Bell
from dtm.core.custody import Custody
from dtm.core.logs import about
from dtm.core.model import Branch, Key, Outcome
from dtm.core.node import Node
from dtm.core.row import Landing, Row, new_landing
from dtm.core.store.base import TAG_BITS
from dtm.core.transport.base import CallFailed, NotSent, Outgoing, Reply, Withdrawn
from dtm.core.transport.wire import outcome_of, outgoing

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Flight:
    """One call, from wish to landing. `sent` turns true directly before the first byte.

    sent_at, sent_boot: when that was (ms, and on the boot clock); before, when it was wished, and when it began to wait
    for slot and connection. unwanted: the plan no longer asks for it; a call that finds its kept connection dead is
    then not sent on another one. task, cut_off: what flies it, and how to end that: a task that goes the long way, or a
    call that has left at once and holds a slot of `host`.
    """

    key: Key
    branch: Branch
    question: bool
    timeout: float
    sent_at: int
    sent_boot: float = 0.0
    host: str = ""
    task: asyncio.Task[None] | None = None
    cut_off: Callable[[], object] | None = None
    sent: bool = False
    withdrawn: bool = False
    unwanted: bool = False


class Flights:
    """Starts, withdraws and lands calls; rings the bell of the pass when there is news in `landed`."""

    def __init__(self, node: Node, row: Row, custody: Custody, bell: Bell) -> None:
        self._node = node
        self._row = row
        self._custody = custody
        self._bell = bell
        self._flying: dict[Key, Flight] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self.landed: deque[Landing | Key] = deque()
        """What came down since the pass last looked: a landing, or the key of a wish that found no slot."""

    def __len__(self) -> int:
        return len(self._flying)

    def __contains__(self, key: Key) -> bool:
        return key in self._flying

    def sent(self, key: Key) -> bool:
        """Whether a call of this branch has begun and not landed."""
        flight = self._flying.get(key)
        return flight is not None and flight.sent

    def longest(self) -> float:
        """Seconds until every call in the air must have landed."""
        now = self._node.clock.boot()
        return max((f.sent_boot + f.timeout - now for f in self._flying.values() if f.sent), default=0.0)

    def wish(self, key: Key, branch: Branch, now: int, *, question: bool = False) -> None:
        """This branch, which is not in flight, should be. `now` in ms."""
        flight = Flight(key, branch, question, self._row.rules.call_timeout(self._row.tx), now)
        self._flying[key] = flight
        if not self._leave_at_once(flight):
            flight.sent_boot = self._node.clock.boot()
            flight.task = asyncio.get_running_loop().create_task(self._fly(flight))

    def _leave_at_once(self, flight: Flight) -> bool:
        """Send the call if nothing has to be waited for: the common case, which needs no task of its own."""
        node, transport = self._node, self._node.transport
        flight.host = host = transport.host_of(flight.branch.url)
        if not node.slots.take(host):
            return False
        gate, over = partial(self._gate, flight), partial(self._over, flight)
        try:
            flight.cut_off = transport.begin(self._outgoing(flight), gate, over)
        except (NotSent, Withdrawn):
            pass  # the long way looks again, waits for what there is to wait for, and tells what is wrong
        finally:
            if flight.cut_off is None:
                node.slots.release(host)
        return flight.cut_off is not None

    def _over(self, flight: Flight, result: Reply | BaseException) -> None:
        self._ended(flight)
        if isinstance(result, Reply):
            news = self._landing(flight, *outcome_of(result, words=self._node.reply_words))
        elif isinstance(result, CallFailed):
            news = self._landing(flight, Outcome.ERROR, str(result))
        else:
            news = self._broken(flight, result)
        self._down(flight, news)

    def _ended(self, flight: Flight) -> None:
        flight.cut_off = None  # they hold one another
        self._node.slots.release(flight.host)
        self._node.tally.in_flight -= 1

    def _gate(self, flight: Flight) -> bool:
        """Asked directly before the first byte: may this call still begin? If so it is marked as started (law 5.6)."""
        node = self._node
        unwanted = flight.withdrawn or flight.unwanted or self.landed or node.draining
        boot = node.clock.boot()
        if unwanted or not self._custody.may_begin(flight.timeout, boot):
            return False
        tally, at_once = node.tally, flight.task is None and not flight.sent
        tally.calls_sent += 1
        tally.in_flight += not flight.sent
        flight.sent, flight.sent_boot = True, boot
        flight.sent_at = self._row.start(flight.key, flight.sent_at if at_once else node.store.now())
        self._custody.mark_dirty()
        return True

    def keep_only(self, wanted: Container[Key]) -> None:
        """Withdraw the wishes that are no longer wanted; what has been sent flies on, but is not sent once more."""
        if not self._flying:
            return
        for key, flight in list(self._flying.items()):
            flight.unwanted = key not in wanted
            if flight.unwanted and not flight.sent:
                self._withdraw(flight)

    def _withdraw(self, flight: Flight) -> None:
        flight.withdrawn = True
        del self._flying[flight.key]
        if flight.task is not None:
            self._leaving.add(flight.task)
            flight.task.add_done_callback(self._leaving.discard)
            flight.task.cancel()
        elif flight.cut_off is not None:
            flight.cut_off()
            self._ended(flight)

    async def abandon(self) -> None:
        """Cut everything off: what has been sent is in doubt, and nobody here will hear of it."""
        for flight in list(self._flying.values()):
            self._withdraw(flight)
        if self._leaving:
            await asyncio.gather(*self._leaving, return_exceptions=True)

    async def _fly(self, flight: Flight) -> None:
        """The long way: queue for a slot, connect, call."""
        try:
            news = await self._call(flight)
        except Exception as error:
            news = self._broken(flight, error)
        finally:
            if flight.sent:
                self._node.tally.in_flight -= 1
        self._down(flight, news)

    def _down(self, flight: Flight, news: Landing | Key | None) -> None:
        if isinstance(news, Landing):
            tally = self._node.tally
            if news.sent:
                tally.landed[news.outcome] += 1
            else:
                tally.unsent += 1
        if flight.withdrawn:
            return
        del self._flying[flight.key]
        if news is not None:
            self.landed.append(news)
        self._bell.ring()

    async def _call(self, flight: Flight) -> Landing | Key | None:
        """Fly; None when the gate said no, the bare key when there was no slot."""
        node, branch = self._node, flight.branch
        host = node.transport.host_of(branch.url)
        if not await node.slots.acquire(host, self._patience()):
            return flight.key
        try:
            await self._custody.confirm()
            reply = await node.transport.call(self._outgoing(flight), partial(self._gate, flight))
            outcome, text = outcome_of(reply, words=node.reply_words)
        except Withdrawn:
            return None
        except (NotSent, CallFailed) as error:
            outcome, text = Outcome.ERROR, str(error)
        finally:
            node.slots.release(host)
        return self._landing(flight, outcome, text)

    def _outgoing(self, flight: Flight) -> Outgoing:
        node, tx, branch = self._node, self._row.tx, flight.branch
        return outgoing(
            gid=tx.gid,
            trans_type=tx.trans_type,
            branch=branch,
            always_post=not flight.question and self._row.rules.protocol.ops[branch.op].always_post,
            branch_headers=tx.options.branch_headers,
            branch_type=node.branch_type,
            timeout=flight.timeout,
            epoch=self._epoch,
        )

    def _epoch(self) -> int:
        return self._row.tx.version >> TAG_BITS

    def _landing(self, flight: Flight, outcome: Outcome, text: str) -> Landing:
        duration = round((self._node.clock.boot() - flight.sent_boot) * 1000)
        return new_landing(flight.key, outcome, text, flight.sent_at, duration, flight.sent)

    def _broken(self, flight: Flight, error: BaseException) -> Landing:
        gid = self._row.tx.gid
        log.error("a call broke off: gid=%s", gid, exc_info=error, extra=about(gid))
        return new_landing(flight.key, Outcome.ERROR, repr(error), self._node.store.now(), 0, sent=True)

    def _patience(self) -> float:
        """How long to queue for a slot: not so long that the row, handed back, would come late for its next try."""
        return min(self._row.rules.base_interval(self._row.tx), self._node.lease / 2)
