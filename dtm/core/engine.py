"""One pass: the only place where a decision is carried out (architecture, section 5, "The pass").

Load -> plan -> carry out -> fold the answer in -> plan again, until the plan waits or the status is final.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

from dtm.core.bell import Bell
from dtm.core.custody import Custody, LostLease
from dtm.core.decisions import Ask, Call, Decision, Move, Wait
from dtm.core.errors import BadPlan
from dtm.core.flights import Flights
from dtm.core.hookspecs import new_branch_answered, new_status_changed
from dtm.core.lifecycle import MOVES, adds
from dtm.core.model import ERROR_CHARS, Branch, Key, Outcome, Status
from dtm.core.node import Node
from dtm.core.row import Landing, Row

log = logging.getLogger(__name__)

_MOMENT, _TEXT = (int, type(None)), (str, type(None))

Rest = Awaitable[object]
"""What to wait for before the next step; true in the end when there is none, for the pass is over."""


class Pass:
    """One run over one transaction that this node owns, until its plan has to wait; in a task of `loop`."""

    def __init__(
        self, node: Node, row: Row, loop: asyncio.AbstractEventLoop, *, lease_end: float, confirmed: float
    ) -> None:
        self.node = node
        self.row = row
        self.began = confirmed
        self._bell = Bell(loop)
        self.custody = Custody(node, row, self._bell, lease_end=lease_end, confirmed=confirmed)
        self.flights = Flights(node, row, self.custody, self._bell)

    def notify(self) -> None:
        """Somebody changed the row, or the node is draining: look before anything else begins."""
        self.custody.changed = True
        self._bell.ring()

    async def run(self, planned: Decision | None = None) -> None:
        """Run until the plan waits or the status is final; the row is then parked, unless the lease was lost.

        planned: what the plan has said of the row as it is, if it was asked already.
        """
        over: object = False
        try:
            while not over:
                self._fold()
                if self.custody.news:
                    planned = None
                    if self.custody.changed:
                        self.flights.keep_only(())  # what waits to begin was planned before the change
                    await self.custody.settle()
                    continue
                try:
                    decision, planned = planned, None
                    over = await self._step(self.node.store.now(), decision)
                except LostLease:
                    raise
                except (
                    Exception
                ) as error:  # a plugin's fault, or ours: this transaction stands still, the node does not
                    over = await self._bad_plan(error)
        except LostLease:
            self.node.tally.stale_leases += 1
            log.warning("lease lost: gid=%s", self.row.tx.gid)
        finally:
            await self.flights.abandon()

    def _step(self, now: int, decision: Decision | None) -> Rest:
        """Plan, unless that is done, and carry out one decision. `now`: when the plan is asked (ms)."""
        if decision is None:
            decision = Wait() if self.row.tx.status.final else self._plan(now)
        # No `match`: its class patterns take four times as long as asking for the types.
        if isinstance(decision, Call):
            typed = isinstance(decision.branches, (tuple, list)) and isinstance(decision.until, _MOMENT)
            if typed and isinstance(decision.quick_tries, int):
                return self._call(decision, now)
        elif isinstance(decision, Move):
            typed = isinstance(decision.status, Status) and isinstance(decision.reason, str)
            if typed and isinstance(decision.result, _TEXT):
                return self._move(decision, now)
        elif isinstance(decision, Ask):
            texts = all(isinstance(text, str) for text in (decision.op, decision.url, decision.branch_id))
            if texts and isinstance(decision.payload, bytes):
                return self._ask(decision, now)
        elif isinstance(decision, Wait) and isinstance(decision.until, _MOMENT):
            return self._wait(decision, now)
        raise BadPlan(f"plan returned {decision!r}, which is no decision")

    def _plan(self, now: int) -> Decision:
        try:
            return self.row.rules.protocol.plan(self.row.snapshot(now))
        except Exception as error:
            raise BadPlan(f"plan raised {type(error).__name__}: {error}") from error

    # Decisions

    def _move(self, move: Move, now: int) -> Rest:
        tx, final = self.row.tx, move.status.final
        if move.status not in MOVES[tx.status] and not adds(tx.status, tx.result, move.status, move.result):
            raise BadPlan(f"moves from {tx.status} to {move.status}, which leads nowhere")
        self.flights.keep_only(())
        if final and self.flights:
            return self._news()
        changes: dict[str, Any] = {"status": move.status, "trouble": ""}
        if move.reason:
            changes["reason"] = move.reason[:ERROR_CHARS]
        if move.result is not None:
            changes["result"] = move.result
        if final:
            changes |= {"finished_at": now, "owner": "", "doubt": False, "due_at": None}
        return self._save_move(tx.status, changes, now)

    async def _save_move(self, before: Status, changes: dict[str, Any], now: int) -> bool:
        if not await self.custody.save(**changes):
            return False
        tx = self.row.tx
        if tx.status is not before:
            self.node.observe(
                new_status_changed(tx.gid, tx.trans_type, before, tx.status, tx.created_at, now, tx.reason)
            )
        return tx.status.final

    def _call(self, call: Call, now: int) -> Rest:
        later: list[tuple[int, bool]] = []
        skipped = False
        branches = dict(map(self._own, call.branches))
        self.flights.keep_only(branches)
        for key, branch in branches.items():
            if not branch.url:
                self.row.skip(key, now)
                skipped = True
            elif key not in self.flights and not self._withheld(branch):
                at, quick = self.row.try_at(branch, call.quick_tries)
                if at > now:
                    later.append((at, quick))
                elif self.node.draining:
                    later.append((now, False))
                else:
                    self.flights.wish(key, branch, now)
        if skipped:
            self.custody.mark_dirty()
            return _at_once()
        until = call.until if call.until is not None and call.until > now else None
        if not branches and until is None and not self.flights:
            raise BadPlan("calls nothing and waits for nothing")
        return self._stay_or_park(later, until, now)

    def _ask(self, ask: Ask, now: int) -> Rest:
        key = (ask.branch_id, ask.op)
        if self.row.get(key) is not None:
            raise BadPlan(f"asks {key}, which is a branch")
        question = self.row.question(key)
        if question is None:
            question = Branch(ask.branch_id, ask.op, ask.url, ask.payload)
            self.row.ask(question)
        if not question.pending:
            raise BadPlan(f"asks {ask.op!r} again, although it was answered")
        self.flights.keep_only({key})
        if not question.url:
            self.row.skip(key, now)
            self.custody.mark_dirty()
            return _at_once()
        later: list[tuple[int, bool]] = []
        if key not in self.flights:
            at, quick = self.row.try_at(question, 0)
            if at > now:
                later.append((at, quick))
            elif self.node.draining:
                later.append((now, False))
            else:
                self.flights.wish(key, question, now, question=True)
        return self._stay_or_park(later, None, now)

    def _wait(self, wait: Wait, now: int) -> Rest:
        self.flights.keep_only(())
        if wait.until is not None and wait.until <= now:
            raise BadPlan(f"waits for a moment that has passed: {wait.until}, now {now}")
        return self._stay_or_park([], wait.until, now)

    def _own(self, branch: Branch) -> tuple[Key, Branch]:
        """The branch as it stands, if it may be called at all."""
        if not isinstance(branch, Branch) or (current := self.row.get(key := branch.key)) is None:
            raise BadPlan(f"calls {getattr(branch, 'key', branch)!r}, which is no branch of this transaction")
        if not current.pending:
            raise BadPlan(f"calls {key}, which has {current.status} already")
        protocol = self.row.rules.protocol
        if current.op not in protocol.ops:
            raise BadPlan(f"calls {key}, whose operation this protocol does not have")
        if current.op in protocol.undoable and self.row.tx.status is Status.ABORTING:
            raise BadPlan(f"calls {key} while aborting, although another operation undoes it")
        return key, current

    def _withheld(self, branch: Branch) -> bool:
        """What undoes a call is not started while that call is in flight, in any status (law 5.5)."""
        undoes = self.row.rules.protocol.ops[branch.op].undoes
        return undoes is not None and self.flights.sent((branch.branch_id, undoes))

    def _fold(self) -> None:
        """Take in what landed."""
        landed = self.flights.landed
        while landed:
            news = landed.popleft()
            self.custody.mark_dirty()
            if not isinstance(news, Landing):
                self.row.put_off(news, self.node.store.now(), self.row.rules.base_interval(self.row.tx))
                continue
            question = self.row.get(news.key) is None
            branch = self.row.land(news, self.node.rng.random())
            tx = self.row.tx
            if branch.attempts.bit_count() == 1 and news.outcome in (Outcome.ERROR, Outcome.FAILURE):
                # The 1st, 2nd, 4th, 8th ... failure: enough to be seen, too little to flood.
                what = (tx.gid, *branch.key, branch.attempts, branch.error[:200])
                log.warning("a call failed: gid=%s branch=%s op=%s times=%d: %s", *what)
            self.custody.tell(
                new_branch_answered(
                    tx.gid, tx.trans_type, tx.status, branch.branch_id, branch.op, branch.url, news.outcome,
                    branch.attempts, branch.error, news.duration_ms, question,
                )
            )  # fmt: skip

    # The end of a pass

    def _news(self, within: float | None = None) -> Rest:
        """Until something lands or somebody calls, at most `within` seconds."""
        return _at_once() if self.flights.landed or self.custody.news else self._bell.wait(within)

    def _stay_or_park(self, later: list[tuple[int, bool]], until: int | None, now: int) -> Rest:
        """Wait for news while something flies or a quick try is near; else park until the next moment."""
        if not later and until is None and self.flights:
            return self._news()
        moments = [at for at, _ in later] if until is None else [until, *(at for at, _ in later)]
        if self.flights or (not self.node.draining and any(quick for _, quick in later)):
            ahead = [at for at in moments if at > now]
            return self._news((min(ahead) - now) / 1000 if ahead else None)
        return self._park(min(moments, default=None))

    async def _park(self, due: int | None, **changes: Any) -> bool:
        """Give the row up until `due`: results, marks, owner and doubt in one write."""
        return await self.custody.save(next_at=due, owner="", doubt=False, due_at=due, **changes)

    def _bad_plan(self, error: Exception) -> Rest:
        """Park the transaction with its story; what is in the air lands first."""
        self.flights.keep_only(())
        if self.flights:
            return self._news()
        self.node.tally.bad_plans += 1
        tx, cause = self.row.tx, error.__cause__
        if not isinstance(error, BadPlan):
            error, cause = BadPlan(f"internal error: {error!r}"), error
        log.error("bad plan: gid=%s trans_type=%s: %s", tx.gid, tx.trans_type, error, exc_info=cause)
        due = self.node.store.now() + round(self.row.rules.retry_interval_max * 1000)
        return self._park(due, trouble=str(error)[:ERROR_CHARS])

    async def release(self, task: asyncio.Task[None]) -> None:
        """The grace is over: end `task`, which runs this pass, and cut off what it has in the air.

        The row is due when every such call has surely ended, and its branch is marked started (law 5.13).
        """
        due = self.node.store.now() + round((self.flights.longest() + self.node.margin) * 1000)
        task.cancel()
        await asyncio.wait([task])
        await self._park(due)


async def _at_once() -> None:
    """Wait for nothing: there is news, or the plan is to see what has just been done."""
