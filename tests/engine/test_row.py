"""The working copy of a transaction, without a pass around it."""

from __future__ import annotations

from dtm.core.model import Branch, Outcome, Status, Transaction, nothing
from dtm.core.row import Landing, Row, Rules
from dtm.plugins.saga import PROTOCOL

NOW = 1_000_000


def a_row(branches: int) -> Row:
    made = tuple(Branch(f"{number:02d}", "action", "http://p/") for number in range(branches))
    tx = Transaction(
        gid="g", trans_type=PROTOCOL.name, protocol_version="1", status=Status.SUBMITTED, created_at=NOW, branches=made
    )
    return Row(tx, Rules(PROTOCOL, nothing(), 10, 60, 3, 35))


def test_times_tell_which_of_two_calls_in_one_millisecond_came_first() -> None:
    row = a_row(4)
    began = []
    for number in range(3):
        key = (f"{number:02d}", "action")
        began.append(row.start(key, NOW))
        row.land(Landing(key, Outcome.SUCCESS, "", began[-1], 0, sent=True), 0.0)
    assert began == [NOW, NOW + 1, NOW + 2]
    assert row.start(("03", "action"), NOW + 50) == NOW + 50


def test_calls_that_fly_together_have_one_time() -> None:
    row = a_row(2)
    assert [row.start((name, "action"), NOW) for name in ("00", "01")] == [NOW, NOW]
