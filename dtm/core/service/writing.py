"""How a verb changes a stored row, by the law of leases: a free row is taken and run, an owned one told (law 5.10)."""

from __future__ import annotations

from collections.abc import Callable

from dtm.core.decisions import Call, Wait
from dtm.core.errors import Conflict, NotFound, StaleVersion, StoreUnavailable
from dtm.core.hookspecs import new_status_changed
from dtm.core.model import Status, Transaction, changed_transaction, saved_transaction
from dtm.core.node import Node
from dtm.core.passes import Passes, Start
from dtm.core.store.base import Hold, new_hold, new_save
from dtm.core.values import replacer

TRIES = 50
"""Compare-and-sets a verb may lose in a row; each loss means that somebody else got through."""

Decide = Callable[[Transaction], Transaction | None]
"""What a row should be: another value, the same one to have a parked row run now, None to leave it. May raise."""

_held = replacer(Transaction, "owner", "due_at", "doubt", "next_at")


class Writer:
    """Creates and changes transactions, and starts the passes that follow."""

    def __init__(self, node: Node, passes: Passes) -> None:
        self._node = node
        self._passes = passes

    async def create(self, tx: Transaction) -> Transaction | None:
        """Store a transaction made this moment, and run it if it has anything to do; None when the gid exists."""
        boot, planned = self._node.clock.boot(), self._passes.planned(tx, tx.created_at)
        hold, next_at, lease = self._terms(tx, tx.created_at, planned)
        tx = _held(tx, owner=hold.owner, due_at=hold.due_at, doubt=bool(hold.owner), next_at=next_at)
        stored = await self._node.store.insert(tx)
        if stored is None:
            return None
        self._tell(None, stored, stored.updated_at)
        self._follow(hold, Start(stored, boot + lease, boot, planned=planned))
        return stored

    async def change(self, gid: str, decide: Decide, seen: Transaction | None = None) -> Transaction:
        """Change what is stored; the row that `decide` saw is the row that is written, or it is asked again.

        `seen`: the row as it was just read, if it was. Returns the row as it is now. NotFound when there is no such
        gid; whatever `decide` raises.
        """
        for _ in range(TRIES):
            tx, seen = seen or await self._node.store.load(gid), None
            if tx is None:
                raise NotFound(f"no TransGlobal with gid: {gid} found")
            wanted = decide(tx)
            if wanted is None:
                return tx
            if tx.stopped and not wanted.status.final:
                raise Conflict(f"stopped until an operator decides: {tx.trouble}", tx.status)
            if wanted is tx and (tx.owner or isinstance(self._passes.planned(tx, self._node.store.now()), Wait)):
                self._passes.notify(gid)
                return tx
            try:
                return await self._write(tx, wanted)
            except StaleVersion:
                continue
        raise StoreUnavailable(f"the transaction {gid} changes too fast, try again")

    async def _write(self, before: Transaction, wanted: Transaction) -> Transaction:
        boot, now = self._node.clock.boot(), self._node.store.now()
        if wanted.status.final:
            wanted = changed_transaction(wanted, finished_at=now)
        hold, lease, planned = None, 0.0, None
        if not before.owner:
            planned = self._passes.planned(wanted, now)
            hold, next_at, lease = self._terms(wanted, now, planned)
            wanted = changed_transaction(wanted, owner=hold.owner, due_at=hold.due_at, next_at=next_at)
        doubt = True if hold is not None and hold.owner and wanted.status is not Status.ABORTING else None
        with_request = _request_of(wanted) != _request_of(before)
        version = await self._node.store.save(
            new_save(wanted, before.version, with_request=with_request, hold=hold, doubt=doubt)
        )
        stored = saved_transaction(wanted, version=version)
        if stored.status is not before.status:
            self._tell(before.status, stored, self._node.store.now())
        if hold is None:
            self._passes.notify(stored.gid)
        else:
            planned = None if before.doubt else planned  # it knew nothing of what may have run
            self._follow(hold, Start(stored, boot + lease, boot, before.doubt, None, planned))
        return stored

    def _terms(self, tx: Transaction, now: int, planned: Wait | Call | None) -> tuple[Hold, int | None, float]:
        """Who is to hold a free row in this state: nobody if it has nothing to do, else this node, if it has room.

        Also what `next_cron_time` shows until the first pass has ended, and the length of the lease in seconds.
        """
        if tx.status.final:
            return new_hold("", None), None, 0
        if isinstance(planned, Wait):
            return new_hold("", planned.until), planned.until, 0
        if self._passes.full:
            return new_hold("", now), now, 0
        rules = self._node.rules[tx.trans_type]
        lease = self._node.lease_for(rules.call_timeout(tx))
        first_try = now + round(rules.base_interval(tx) * 1000)
        return new_hold(self._node.token(), now + round(lease * 1000)), first_try, lease

    def _follow(self, hold: Hold, start: Start) -> None:
        """The row is written: run it here, or see to it that its time is not missed."""
        if hold.owner:
            self._passes.start(start)
        elif hold.due_at is not None:
            self._passes.on_parked(hold.due_at)

    def _tell(self, before: Status | None, tx: Transaction, now: int) -> None:
        self._node.observe(new_status_changed(tx.gid, tx.trans_type, before, tx.status, tx.created_at, now, tx.reason))


def _request_of(tx: Transaction) -> tuple[object, ...]:
    """What a verb may change of that which was asked: it only ever appends branches."""
    return len(tx.branches), tx.options, tx.custom_data
