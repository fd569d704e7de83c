"""The barrier's promises, on every kind of connection, with and without autocommit, on real servers."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest

from dtm.client import Barrier, Duplicated, Failure, new_gid
from tests.client.barrier.kinds import ALL, MYSQL, PLAIN, POSTGRESQL, Kind, at_once, settled
from tests.client.barrier.works import barrier, business

ROUNDS = 100
UNDONE_BY = {"action": "compensate", "try": "cancel"}
SERIALIZATION_FAILURE = {
    MYSQL: "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213",
    POSTGRESQL: "DO $$ BEGIN RAISE EXCEPTION 'in the way' USING ERRCODE = '40001'; END $$",
}
HANG_UP = {MYSQL: "KILL CONNECTION CONNECTION_ID()", POSTGRESQL: "SELECT pg_terminate_backend(pg_backend_pid())"}


def name_of(kind: Kind) -> str:
    return kind.name


def of_dialects(*dialects: str) -> pytest.MarkDecorator:
    """Only those kinds."""
    kinds = [kind for kind in ALL if kind.dialect in dialects]
    return pytest.mark.parametrize("kind", kinds, ids=name_of, indirect=True)


async def call(kind: Kind, connection: Any, gid: str, op: str, *then: str | Exception) -> Any:
    """One call of the coordinator."""
    return await settled(barrier(gid, op).call(connection, business(kind, gid, op, *then)))


@pytest.mark.parametrize("op", ["action", "try"])
async def test_once_however_often_it_is_called(kind: Kind, op: str) -> None:
    gid = new_gid()
    async with kind.connected() as connection:
        assert [await call(kind, connection, gid, op) for _ in range(3)] == ["done", None, None]
        assert kind.ops(gid) == [op]
        assert kind.barrier(gid) == [(op, "01", op)]
        undo = UNDONE_BY[op]
        assert [await call(kind, connection, gid, undo) for _ in range(2)] == ["done", None]
        assert await call(kind, connection, gid, op) is None
    assert kind.ops(gid) == sorted([op, undo])
    assert kind.barrier(gid) == sorted([(op, "01", op), (undo, "01", undo)])


@pytest.mark.parametrize("op", ["action", "try"])
async def test_an_undo_of_what_has_not_been_does_nothing_and_the_late_call_neither(kind: Kind, op: str) -> None:
    gid, undo = new_gid(), UNDONE_BY[op]
    async with kind.connected() as connection:
        assert await call(kind, connection, gid, undo) is None
        assert kind.barrier(gid) == sorted([(op, "01", undo), (undo, "01", undo)])
        assert await call(kind, connection, gid, op) is None
        assert await call(kind, connection, gid, undo) is None
    assert kind.ops(gid) == []


async def test_a_refusal_rolls_back_and_leaves_the_connection_usable(kind: Kind) -> None:
    gid = new_gid()
    async with kind.connected() as connection:
        with pytest.raises(Failure, match="no such account"):
            await call(kind, connection, gid, "action", Failure("no such account"))
        assert (kind.ops(gid), kind.barrier(gid)) == ([], [])
        assert await call(kind, connection, gid, "action") == "done"
    assert kind.ops(gid) == ["action"]


async def test_an_error_of_the_database_rolls_back_and_is_no_refusal(kind: Kind) -> None:
    gid = new_gid()
    async with kind.connected() as connection:
        with pytest.raises(Exception, match="nowhere") as caught:
            await call(kind, connection, gid, "action", "INSERT INTO nowhere VALUES (1)")
        assert not isinstance(caught.value, Failure)
        assert (kind.ops(gid), kind.barrier(gid)) == ([], [])
        assert await call(kind, connection, gid, "action") == "done"
    assert kind.ops(gid) == ["action"]


async def test_a_transaction_that_the_business_has_ended_is_no_success(kind: Kind) -> None:
    gid = new_gid()
    async with kind.connected() as connection:
        with pytest.raises(RuntimeError, match="the barrier's row is gone"):
            await call(kind, connection, gid, "action", "ROLLBACK")
        assert await call(kind, connection, gid, "action") == "done"
    assert kind.ops(gid) == ["action"]


async def test_an_error_that_is_swallowed_is_no_success_either(kind: Kind) -> None:
    """PostgreSQL answers a COMMIT of a broken transaction by rolling back, without an error."""
    gid = new_gid()

    def work(connection: Any) -> None:
        business(kind, gid, "action")(connection)
        with pytest.raises(Exception, match="nowhere"):
            kind.do(connection, "INSERT INTO nowhere VALUES (1)")

    async def work_async(connection: Any) -> None:
        await business(kind, gid, "action")(connection)
        with pytest.raises(Exception, match="nowhere"):
            await kind.do(connection, "INSERT INTO nowhere VALUES (1)")

    async with kind.connected() as connection:
        broken = pytest.raises(Exception, match="aborted") if kind.dialect == POSTGRESQL else nullcontext()
        with broken:
            await settled(barrier(gid, "action").call(connection, work_async if kind.asynchronous else work))
        assert kind.ops(gid) == ([] if kind.dialect == POSTGRESQL else ["action"])
        assert len(kind.barrier(gid)) == len(kind.ops(gid))
        assert await call(kind, connection, new_gid(), "action") == "done"


@of_dialects(POSTGRESQL)
async def test_a_commit_that_fails_is_no_success(kind: Kind) -> None:
    gid = new_gid()
    async with kind.connected() as connection:
        with pytest.raises(Exception, match="violates foreign key"):
            await call(kind, connection, gid, "action", "INSERT INTO child VALUES (7)")
        assert (kind.ops(gid), kind.barrier(gid)) == ([], [])
        assert await call(kind, connection, gid, "action") == "done"


@of_dialects(MYSQL, POSTGRESQL)
async def test_a_connection_that_is_lost_is_no_success(kind: Kind) -> None:
    gid = new_gid()
    async with kind.connected() as connection:
        with pytest.raises(Exception) as caught:
            await call(kind, connection, gid, "action", HANG_UP[kind.dialect])
        assert not isinstance(caught.value, Failure)
    assert (kind.ops(gid), kind.barrier(gid)) == ([], [])


@of_dialects(MYSQL, POSTGRESQL)
async def test_what_is_in_the_way_is_tried_once_more_under_the_same_number(kind: Kind) -> None:
    gid, tries = new_gid(), []

    def statements() -> tuple[str, ...]:
        tries.append(1)
        return () if len(tries) == 2 else (SERIALIZATION_FAILURE[kind.dialect],)

    def work(connection: Any) -> Any:
        return business(kind, gid, "action", *statements())(connection)

    async with kind.connected() as connection:
        assert await settled(barrier(gid, "action").call(connection, work)) == "done"
        assert (len(tries), kind.ops(gid), kind.barrier(gid)) == (2, ["action"], [("action", "01", "action")])
        tries.append(1)
        with pytest.raises(Exception, match=r"1213|in the way"):
            await settled(barrier(new_gid(), "action").call(connection, work))
        assert len(tries) == 5


async def test_a_transaction_that_is_open_is_refused_and_left_alone(kind: Kind) -> None:
    gid = new_gid()
    async with kind.connected() as connection:
        if kind.style == "numeric" or (kind.autocommit and kind.style != "named"):
            await settled(kind.do(connection, "BEGIN"))
        await settled(kind.do(connection, "INSERT INTO ledger (gid, op) VALUES (?, ?)", (gid, "before")))
        with pytest.raises(RuntimeError, match="a transaction is open"):
            await call(kind, connection, gid, "action")
        with pytest.raises(RuntimeError, match="a transaction is open"):
            await settled(barrier(gid, "msg").query_prepared(connection))
        await settled(kind.do(connection, "COMMIT") if kind.style == "numeric" else connection.commit())
        assert kind.ops(gid) == ["before"]
        assert await call(kind, connection, gid, "action") == "done"


async def test_blocks_of_one_call_have_numbers(kind: Kind) -> None:
    gid = new_gid()
    async with kind.connected() as connection:
        for _ in range(2):
            guard = barrier(gid, "action")
            for op in ("first", "second"):
                await settled(guard.call(connection, business(kind, gid, op)))
    assert kind.ops(gid) == ["first", "second"]
    assert kind.barrier(gid) == [("action", "01", "action"), ("action", "02", "action")]


async def test_guard_tells_whether_the_business_may_run(kind: Kind) -> None:
    gid, seen = new_gid(), []
    async with kind.connected() as connection:
        for error in (ValueError("no"), None, None):
            work = business(kind, gid, "action", *([error] if error else []))
            try:
                if kind.asynchronous:
                    async with barrier(gid, "action").guard(connection) as run:
                        seen.append(run)
                        _ = run and await work(connection)
                else:
                    with barrier(gid, "action").guard(connection) as run:
                        seen.append(run)
                        _ = run and work(connection)
            except ValueError:
                assert (kind.ops(gid), kind.barrier(gid)) == ([], [])
    assert seen == [True, True, False]
    assert kind.ops(gid) == ["action"]


async def test_a_check_back_finds_what_was_committed(kind: Kind) -> None:
    done, late = new_gid(), new_gid()

    def message(gid: str) -> Barrier:
        return Barrier("msg", gid, "00", "msg")

    async with kind.connected() as connection:
        assert await settled(message(done).call(connection, business(kind, done, "msg"))) == "done"
        await settled(message(done).query_prepared(connection))
        for _ in range(2):
            with pytest.raises(Failure, match="was not committed"):
                await settled(message(late).query_prepared(connection))
        for gid in (done, late):
            with pytest.raises(Duplicated):
                await settled(message(gid).call(connection, business(kind, gid, "msg")))
    assert (kind.ops(done), kind.ops(late)) == (["msg"], [])
    assert kind.barrier(late) == [("msg", "01", "rollback")]


@pytest.mark.parametrize("kind", PLAIN, ids=name_of, indirect=True)
async def test_two_calls_at_once(kind: Kind) -> None:
    """Of two actions one does it; of an action and its compensation, which come at once, both do it or none."""
    gid = new_gid()
    async with kind.connected() as one, kind.connected() as other:
        for number in range(ROUNDS):
            second = ("action", "compensate")[number % 2]
            sides = [(one, "action"), (other, second)]
            if number % 4 > 1:
                sides.reverse()
            each = f"{gid}-{number}"
            works = [partial(barrier(each, op).call, connection, business(kind, each, op)) for connection, op in sides]
            results = await at_once(kind, *works)
            if second == "action":
                assert sorted(map(str, results)) == ["None", "done"]
    found: dict[str, list[str]] = {}
    for each, op in kind.rows(f"SELECT gid, op FROM ledger WHERE gid LIKE '{gid}-%' ORDER BY op"):
        found.setdefault(each, []).append(op)
    assert [found.get(f"{gid}-{number}") for number in range(0, ROUNDS, 2)] == [["action"]] * (ROUNDS // 2)
    assert all(found.get(f"{gid}-{n}", []) in ([], ["action", "compensate"]) for n in range(1, ROUNDS, 2))
