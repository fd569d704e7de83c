"""A pass's hold on its row: the lease, what is known of the version, and every write (laws 5.2 to 5.4, 5.11)."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from dtm.core.bell import Bell
from dtm.core.errors import DtmError, StaleVersion
from dtm.core.hookspecs import Event
from dtm.core.model import Status, Transaction, changed_transaction, saved_transaction
from dtm.core.node import CONFIRMED_FOR, Node
from dtm.core.reminders import Reminder
from dtm.core.row import Row
from dtm.core.store.base import TAG_BITS, Hold, Save, new_hold, new_save

log = logging.getLogger(__name__)

PAUSE_FIRST, PAUSE_MOST = 0.1, 2.0


class LostLease(Exception):
    """The row belongs to somebody else now; the pass has nothing more to say."""


class Custody:
    """Reads and writes one row for one pass.

    `lease_end` and `confirmed` are readings of the boot clock, taken before the statement they speak of was sent.
    `changed`: the row must be looked at before anything else begins. `token` is the owner token we hold it by.
    """

    def __init__(self, node: Node, row: Row, bell: Bell, *, lease_end: float, confirmed: float) -> None:
        self.node = node
        self.row = row
        self.token = row.tx.owner
        self.lease_end = lease_end
        self.confirmed = confirmed
        self.changed = False
        self.lost = False
        self._short_for: float | None = None
        self._bell = bell
        self._unsaved: Reminder | None = None
        self._overdue = False
        self._untold: list[Event] = []
        self._pause = PAUSE_FIRST

    @property
    def news(self) -> bool:
        """Whether `settle` has something to do."""
        return self.changed or self.lost or self._short_for is not None or self._overdue

    # Before a call

    def may_begin(self, timeout: float, boot: float) -> bool:
        """Whether a call of at most `timeout` seconds may begin now (boot clock); if not, `settle` will see to it."""
        if self.lost or self.changed:
            return False
        if self.lease_end - boot <= timeout + self.node.margin:
            self._short_for = timeout
            return False
        return not self._stale(boot)

    def _stale(self, boot: float) -> bool:
        """Whether a verb on another node may have decided otherwise meanwhile, in time for it to count (law 5.11)."""
        late = self.node.store.shared and boot - self.confirmed > CONFIRMED_FOR
        return late and self.row.tx.status is not Status.ABORTING

    async def confirm(self) -> None:
        """Look at the row, directly before a call, if the last look is too old for `may_begin`."""
        if self.lost or self.changed or not self._stale(self.node.clock.boot()):
            return
        try:
            sight = await self.node.lookout.look(self.row.tx.id, self.token)
        except DtmError:
            self.changed = True  # `settle` waits for the store, while there is a lease
            self._bell.ring()
        else:
            self.seen(sight.version, sight.at)

    async def settle(self) -> None:
        """Do what `news` speaks of: reload, renew, save what has lain long enough. LostLease ends the pass."""
        if self.lost:
            raise LostLease
        if self.changed:
            await self._reload()
        if self._short_for is not None:
            await self._renew(self._short_for)
        if self._overdue and not self.changed:
            await self.save()

    # Write-behind

    def mark_dirty(self) -> None:
        """Something has been learned that must be saved within `write_behind`."""
        if self._unsaved is None:
            self._unsaved = self.node.behind.remind(self._save_is_due)
            self._overdue = not self.node.write_behind

    def _save_is_due(self) -> None:
        self._overdue = True
        self._bell.ring()

    def _clean(self) -> None:
        if self._unsaved is not None:
            self._unsaved.cancel()
            self._unsaved = None
            self._overdue = False

    def tell(self, event: Event) -> None:
        """To be told to the observers once it is committed."""
        self._untold.append(event)

    # Statements

    async def save(self, **changes: Any) -> bool:
        """Write all that is known, with these changes, by compare-and-set; False: look at the row again and plan again.

        `owner` among the changes gives the row up. While aborting, every save clears the doubt: no forward call can
        begin any more, and the marks of all that may have begun are in this very write.
        """
        if changes.get("status", self.row.tx.status) is Status.ABORTING:
            changes.setdefault("doubt", False)
        candidate = self.row.candidate(changes)
        hold = new_hold(candidate.owner, candidate.due_at) if "owner" in changes else None
        untold, self._untold = self._untold, []
        self._clean()
        boot = self.node.clock.boot()
        change = new_save(candidate, self.row.tx.version, hold=hold, doubt=changes.get("doubt"))
        try:
            version = await self.node.store.save(change)
        except DtmError as error:
            self._untold = untold + self._untold
            self.mark_dirty()
            self.changed = True
            if not isinstance(error, StaleVersion):
                await self._pause_after(error)
            return False
        self._pause = PAUSE_FIRST
        self.confirmed = boot
        self.row.saved(saved_transaction(candidate, version=version))
        for event in untold:
            self.node.observe(event)
        return True

    async def _reload(self) -> None:
        """Look at the row: still ours? Then fold what landed here in again; the plan decides anew."""
        self.changed = False
        boot = self.node.clock.boot()
        try:
            tx = await self.node.store.load(self.row.tx.gid)
        except DtmError as error:
            self.changed = True
            await self._pause_after(error)
            return
        if tx is None:
            log.critical("purged before its end was heard of here, or lost by the database: gid=%s", self.row.tx.gid)
            raise LostLease
        if tx.id != self.row.tx.id:
            raise LostLease  # ours was purged, and its gid given to another one
        if _forgets(tx, self.row.tx):
            await self._stop(tx)
            return
        if tx.owner != self.token:
            raise LostLease
        self.confirmed = boot
        self.row.reloaded(tx)

    async def _stop(self, tx: Transaction) -> None:
        """The database has lost commits: what was called is known to nobody, so that only an operator may go on.

        The row is left free, in doubt and not due, which it is in no other case. That is written by compare-and-set on
        what was read: if the read was merely an old one (a cluster's node that lags), nothing is written, and we look
        again.
        """
        text = f"the database has lost commits: version {self.row.tx.version} was stored, now it is {tx.version}"
        stopped = changed_transaction(tx, owner="", due_at=None, next_at=None, doubt=True, trouble=text)
        try:
            await self.node.store.save(Save(stopped, tx.version, hold=Hold("", None), doubt=True))
        except DtmError as error:
            self.changed = True
            await self._pause_after(error)
            return
        self.node.tally.lost_commits += 1
        log.critical("stopped, %s: gid=%s status=%s", text, tx.gid, tx.status)
        raise LostLease

    async def _renew(self, timeout: float) -> None:
        boot = self.node.clock.boot()
        lease = self.node.lease_for(timeout)
        token = self.token
        try:
            held = await self.node.store.renew({self.row.tx.id: token}, lease)
        except DtmError as error:
            await self._pause_after(error)
            return
        self._short_for = None
        self.renewed(token, boot + lease if held else None)

    async def _pause_after(self, error: DtmError) -> None:
        """The store is in trouble: wait a little; without a lease there is nothing to wait for."""
        if self._pause == PAUSE_FIRST:  # once until the next save, however often it is tried
            log.warning("store: %s: gid=%s", error, self.row.tx.gid)
        if self.node.clock.boot() >= self.lease_end:
            raise LostLease from error
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, PAUSE_MOST)

    # What the node's housekeeping finds out

    def renewed(self, token: str, lease_end: float | None) -> None:
        """The lease of this token now lasts until `lease_end` (boot clock); None: the row is held by another one."""
        if token != self.token:
            return  # a claim of this same node came in between
        if lease_end is None:
            self.lost = True
            self._bell.ring()
        else:
            self.lease_end = max(self.lease_end, lease_end)

    def seen(self, version: int | None, at: float) -> None:
        """The row had this version at `at` (boot clock); None: it is no longer ours, or it is gone."""
        if version == self.row.tx.version:
            self.confirmed = max(self.confirmed, at)
            return
        self.changed = True
        self._bell.ring()

    def handed_over(self, tx: Transaction, lease_end: float) -> bool:
        """A claim of this same node met this pass: go on with its token, if nothing else was written in between.

        Else another node may have held the row, and begun and learned what is not known here: this pass is over, what
        it has in the air counts no longer (I-LEASE-3), and the claim runs in a pass of its own, doubt and all. False:
        it must not, for the row knows less than this pass.
        """
        if _forgets(tx, self.row.tx):
            self.changed = True
            self._bell.ring()
            return False
        if tx.id != self.row.tx.id or tx.version >> TAG_BITS != (self.row.tx.version >> TAG_BITS) + 1:
            self.lost = True
            self._bell.ring()
            return True
        self.token = tx.owner
        self.lease_end = lease_end
        self.row.forget_waits()
        self.changed = True
        self._bell.ring()
        return True


def _forgets(found: Transaction, known: Transaction) -> bool:
    """Whether a stored row knows less than was stored before: a fail-over has lost commits (law 6.5).

    Not so a row of the same gid that was made after the known one had ended and was purged.
    """
    if found.id != known.id:
        return False
    counter, before = found.version >> TAG_BITS, known.version >> TAG_BITS
    return counter < before or (counter == before and found.version != known.version)
