"""What a law is; and laws that a protocol may declare of itself, beyond those that all must keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dtm.core.model import Key, Status
from dtm.core.protocol import Protocol
from dtm.testing.history import History
from dtm.testing.loop import EPOCH

Check = Callable[[History, Protocol], Iterator[str]]
"""check(history, protocol) -> a sentence for each way in which the history breaks the law; none when it is kept."""


@dataclass(frozen=True, slots=True)
class Law:
    """A law: a name, a sentence that says what it asks, and how to see whether a history keeps it.

    rarely: it takes long to check, and what it forbids does not depend on luck: the simple histories are enough.
    """

    name: str
    sentence: str
    check: Check
    rarely: bool = False

    def broken_by(self, history: History, protocol: Protocol) -> list[str]:
        """How this history breaks it; empty when it does not."""
        return list(self.check(history, protocol))


def needs_all(op: str, status: Status = Status.SUCCEED) -> Law:
    """A transaction has this final status only when every branch with this operation has succeeded."""

    def check(history: History, protocol: Protocol) -> Iterator[str]:
        final = history.final
        if final is not None and final.status is status and not history.forced:
            effects = {event.key for event in history.of("effect")}
            for branch in (branch for branch in final.branches if branch.op == op):
                if not branch.succeeded or (branch.url and branch.key not in effects):
                    yield f"{status} without {'/'.join(branch.key)}"

    return Law(f"needs-all-{op}", f"A transaction is {status} only when every {op} has succeeded.", check)


def one_way(forward: str, backward: str) -> Law:
    """Nobody hears both of two operations, and nobody hears either before it was decided which."""

    def check(history: History, protocol: Protocol) -> Iterator[str]:
        ways = {event.key[1] for event in history.of("request") if event.key} & {forward, backward}
        if len(ways) > 1:
            yield f"both ways were gone: {forward} and {backward}"
        decided = False
        for event in history.events:
            decided = decided or (event.kind == "row" and event.status in (Status.SUBMITTED, Status.ABORTING))
            if event.kind == "request" and event.key and event.key[1] in (forward, backward) and not decided:
                yield f"{'/'.join(event.key)} before the decision"

    return Law(
        f"{forward}-or-{backward}", f"Either {forward} or {backward} is called, never both, and as decided.", check
    )


Before = Callable[[History, str, str], bool]
"""before(history, first, then): whether, in this transaction, the one branch_id comes before the other."""


def in_order(op: str, before: Before, *, real: str = "") -> Law:
    """The first call of (then, op) comes after (first, op) answered success, if both are called.

    real: look only at branches of which this operation was called as well: undoing what never ran has no order.
    """

    def check(history: History, protocol: Protocol) -> Iterator[str]:
        asked, done = _first(history, "request"), _first(history, "reply", "success")
        ids = [branch_id for branch_id, name in asked if name == op and (not real or (branch_id, real) in asked)]
        for first in ids:
            for then in ids:
                late = len(history.events)
                if before(history, first, then) and not done.get((first, op), late) < asked[then, op]:
                    yield f"{then}/{op} was called before {first}/{op} had answered"

    return Law(f"{op}-in-order", f"Every {op} waits for those that come before it.", check)


def _first(history: History, kind: str, text: str = "") -> dict[Key, int]:
    """Position of each branch's first event of a kind."""
    found: dict[Key, int] = {}
    for position, event in enumerate(history.events):
        if event.kind == kind and event.key is not None and (not text or event.text == text):
            found.setdefault(event.key, position)
    return found


def not_before(op: str, delay: Callable[[Mapping[str, Any]], float]) -> Law:
    """No call of this operation before `delay(body)` seconds have passed since the transaction was created."""

    def check(history: History, protocol: Protocol) -> Iterator[str]:
        if history.final is None or any(history.of("jump")):
            return  # what passed on a clock that jumped cannot be told from outside
        created = (history.final.created_at - EPOCH) / 1000
        seconds = delay(history.steps[0].body)
        for event in history.of("request"):
            if event.key and event.key[1] == op and event.at + 0.001 < created + seconds:
                yield f"{'/'.join(event.key)} at {event.at:.3f}, created at {created:.3f}, delay {seconds}"

    return Law(f"{op}-not-before", f"No {op} before its time.", check)
