"""The timeline drawn from a reply, without a coordinator."""

from __future__ import annotations

import io

from rich.console import Console

from dtm.timeline import render_timeline

CREATED = "2026-11-22T10:00:00.000Z"


def drawn(transaction: dict[str, object], *branches: dict[str, object]) -> list[str]:
    """The lines that a wide terminal would show, unpadded."""
    base = {"gid": "g", "trans_type": "saga", "status": "submitted", "create_time": CREATED}
    console = Console(file=io.StringIO(), width=200)
    console.print(render_timeline({"transaction": {**base, **transaction}, "branches": list(branches)}))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def branch(status: str, *seconds: float, count: int | None = None, **more: object) -> dict[str, object]:
    attempts = [
        {"time": f"2026-11-22T10:00:{second:06.3f}Z", "duration_ms": 12, "outcome": "ERROR", "error": "down"}
        for second in seconds
    ]
    count = len(attempts) if count is None else count
    shown = {"branch_id": "01", "op": "action", "url": "http://p/", "attempts": attempts, "attempt_count": count}
    return {**shown, "status": status, **more}


def test_attempts_of_all_branches_stand_in_order_of_time() -> None:
    lines = drawn({}, branch("failed", 3, 1), branch("succeed", 2, branch_id="02"))
    assert lines[6:] == [
        "+1.000 s  01      action  ERROR    12 ms  http://p/  down",
        "+2.000 s  02      action  ERROR    12 ms  http://p/  down",
        "+3.000 s  01      action  ERROR    12 ms  http://p/  down",
    ]


def test_attempts_left_out_are_counted_where_they_were() -> None:
    lines = drawn({}, branch("succeed", *range(1, 11), count=52))
    assert [line.split()[0] for line in lines[6:10]] == ["+1.000", "+2.000", "+3.000", "01"]
    assert lines[9].split()[1:] == ["action", "...", "42", "more", "http://p/"]
    assert len(lines) == 6 + 11


def test_what_is_to_come_stands_last() -> None:
    waiting = branch("prepared", 1), branch("prepared", op="compensate")
    lines = drawn({"next_cron_time": "2026-11-22T10:00:20.500Z"}, *waiting)
    assert lines[-2].split() == ["+20.500", "s", "01", "action", "next", "try", "http://p/"]
    assert lines[-1] == "not called yet: 01 compensate"
    lines = drawn({"next_cron_time": "2026-11-22T10:00:20.500Z", "owner": "node-1"}, *waiting)
    assert lines[-2].split() == ["01", "action", "running", "now", "http://p/"]


def at(second: float) -> str:
    return f"2026-11-22T10:00:{second:06.3f}Z"


UNKNOWN = "begun, and not heard how it ended"


def test_a_first_call_that_was_cut_off_stands_where_it_began() -> None:
    lines = drawn({}, branch("succeed", 9, start_time=at(2), start_count=2), branch("succeed", 5, branch_id="02"))
    assert lines[6:] == [
        f"+2.000 s  01      action  unknown         http://p/  {UNKNOWN}",
        "+5.000 s  02      action  ERROR    12 ms  http://p/  down",
        "+9.000 s  01      action  ERROR    12 ms  http://p/  down",
    ]
    two_not_sent_before = branch("prepared", 0, 1, start_time=at(2), start_count=1)
    assert lines[6] in drawn({}, two_not_sent_before)


def test_a_call_that_may_be_under_way_was_not_cut_off() -> None:
    owned = {"owner": "node-1", "next_cron_time": CREATED}
    lines = drawn(owned, branch("prepared", start_time=at(2), start_count=1))
    assert [line.split() for line in lines[6:]] == [["01", "action", "running", "now", "http://p/"]]
    lines = drawn(owned, branch("prepared", start_time=at(2), start_count=2))
    assert lines[6].endswith(UNKNOWN)
    assert lines[7].split() == ["01", "action", "running", "now", "http://p/"]


def test_what_may_have_been_called_is_said_so() -> None:
    later = branch("succeed", 1, start_time=at(1), start_count=2)
    marked = branch("prepared", start_count=1, branch_id="02")
    assert drawn({}, later, marked)[-2:] == [
        "not called yet: 02 action",
        "perhaps called once more than is known: 01 action, 02 action",
    ]
    all_heard = branch("succeed", 1, 2, start_time=at(1), start_count=2)
    story_cut = branch("succeed", *range(1, 11), count=52, start_time=at(20), start_count=9)
    assert not [line for line in drawn({}, all_heard, story_cut) if "known" in line]


def test_an_ended_transaction_waits_for_nothing() -> None:
    ended = {"status": "failed", "rollback_time": "2026-11-22T10:00:12.345Z", "next_cron_time": CREATED}
    lines = drawn(ended, branch("prepared", 1), branch("succeed", op="compensate", url=""), branch("prepared", op="x"))
    assert lines[4] == "took     12.3 s"
    assert lines[-2:] == ["nothing to call: 01 compensate", "not called: 01 x"]
    assert "next try" not in "".join(lines)


def test_an_operator_sees_the_trouble_of_a_bad_plan() -> None:
    assert "trouble  plan raised KeyError: 'x'" in drawn({"trouble": "plan raised KeyError: 'x'"})


def test_what_strangers_wrote_commands_no_terminal() -> None:
    lines = drawn({"gid": "a\u202eb\x9b", "rollback_reason": "x\ny"})
    assert lines[0] == r"gid      a\u202eb\x9b"
    assert lines[3] == r"reason   x\ny"
