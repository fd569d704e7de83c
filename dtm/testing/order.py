"""In what order a protocol works, learned by watching; and the law that it undoes against that order.

A branch comes *after* another if, in every simple history of a request, it was first wanted when the other had
succeeded. The simple histories (nothing goes wrong, or one call has to be made twice) hold each branch up once, so that
what merely happened to be later is told apart from what has to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from dtm.core.decisions import Call
from dtm.core.model import Key
from dtm.core.protocol import Protocol
from dtm.testing.history import History
from dtm.testing.law import Law

UNDONE_IN_REVERSE = "undone-in-reverse"
SENTENCE = "What was done in order is undone in the reverse order, or together."

Order = Mapping[Key, frozenset[Key]]
"""branch -> the branches that it comes after."""


def learned(histories: Iterable[History], protocol: Protocol) -> Order:
    """The order of the branches that another operation undoes, from simple histories of one request."""
    order: dict[Key, frozenset[Key]] = {}
    for history in histories:
        for key, done in _wanted_after(history).items():
            if key[1] in protocol.undoable:
                before = frozenset(other for other in done if other[1] in protocol.undoable)
                order[key] = order.get(key, before) & before
    return order


def undone_in_reverse(order: Order) -> Law:
    """The law that what came after another is undone first (or together with it)."""

    def check(history: History, protocol: Protocol) -> Iterator[str]:
        undoing = {op.undoes: name for name, op in protocol.ops.items() if op.undoes}
        ran = {event.key for event in history.of("request")}
        wanted = _wanted_after(history)
        for later, earlier_ones in order.items():
            undo = (later[0], undoing[later[1]])
            for earlier in earlier_ones:
                first = (earlier[0], undoing[earlier[1]])
                if {later, earlier} <= ran and first in wanted.get(undo, frozenset()):
                    yield f"{'/'.join(first)} was done before {'/'.join(undo)}, but {'/'.join(later)} came last"

    return Law(UNDONE_IN_REVERSE, SENTENCE, check)


def _wanted_after(history: History) -> dict[Key, frozenset[Key]]:
    """Each branch that a plan called -> what had succeeded when it did so for the first time."""
    found: dict[Key, frozenset[Key]] = {}
    for planned in history.plans:
        if isinstance(planned.decision, Call):
            done = None
            for branch in planned.decision.branches:
                key = getattr(branch, "key", None)
                if key is not None and key not in found:
                    done = done or frozenset(b.key for b in planned.snapshot.branches if b.succeeded)
                    found[key] = done
    return found
