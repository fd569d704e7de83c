"""Group commit in front of a backend that the test holds in its hand."""

from __future__ import annotations

import asyncio
import gc

import pytest
from store_values import make_tx

from dtm.core.errors import InvalidRequest, OutcomeUnknown, StoreUnavailable
from dtm.core.store.base import Save
from dtm.core.store.group_commit import MAX_ROWS, GroupCommit, Insert, Update
from dtm.core.store.lanes import IDLE_TURNS, TURNS


class Backend:
    """Writes down the batches; holds them while the gate is shut; answers what `verdict` says of each item."""

    def __init__(self):
        self.batches = []
        self.landed = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.trouble = lambda gids: None
        self.verdict = lambda gid: True

    async def flush(self, items):
        gids = [item.tx.gid for item in items]
        self.batches.append(gids)
        await self.gate.wait()
        if error := self.trouble(gids):
            raise error
        self.landed += gids
        return [self.verdict(gid) for gid in gids]


def insert(gid, number=0, size=0):
    return Insert(make_tx(gid, id=number), b"x" * size, b"")


def update(gid, number, version):
    return Update(Save(make_tx(gid, id=number), version), version + 1, 0, None, b"")


def start(commits, *items):
    return [asyncio.ensure_future(commits.write(item)) for item in items]


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


async def in_flight(commits, backend, item):
    """Start an item and hold it in the backend."""
    backend.gate.clear()
    (task,) = start(commits, item)
    await settle()
    assert backend.batches[-1] == [item.tx.gid]
    return task


@pytest.mark.gen_test
async def test_a_lone_item_waits_for_nobody():
    backend = Backend()
    commits = GroupCommit(backend.flush)
    for number in range(3):
        assert await commits.write(insert(f"g{number}")) is True
    assert backend.batches == [["g0"], ["g1"], ["g2"]]
    assert (commits.flushes, commits.items) == (3, 3)


@pytest.mark.parametrize(("turns", "batches"), [(TURNS, [TURNS]), (2 * TURNS, [TURNS + 1, TURNS - 1])])
@pytest.mark.gen_test
async def test_a_batch_grows_while_each_turn_brings_more_but_not_for_ever(turns, batches):
    backend = Backend()
    commits = GroupCommit(backend.flush)
    tasks = []
    for number in range(turns):
        tasks += start(commits, insert(f"g{number}"))
        await asyncio.sleep(0)
    assert await asyncio.gather(*tasks) == [True] * turns
    assert [len(batch) for batch in backend.batches] == batches


@pytest.mark.gen_test
async def test_a_batch_smaller_than_the_last_waits_some_turns_for_the_rest():
    backend = Backend()
    commits = GroupCommit(backend.flush)
    await asyncio.gather(*start(commits, *(insert(f"g{number}") for number in range(6))))
    tasks = start(commits, *(insert(f"early {number}") for number in range(3)))
    for _ in range(IDLE_TURNS - 1):
        await asyncio.sleep(0)
    tasks += start(commits, *(insert(f"late {number}") for number in range(3)))
    await asyncio.gather(*tasks)
    await asyncio.gather(*start(commits, *(insert(f"g{number}") for number in range(4))))
    assert [len(batch) for batch in backend.batches] == [6, 6, 4]


@pytest.mark.gen_test
async def test_the_next_batch_gathers_while_one_is_in_flight_and_is_sorted():
    backend = Backend()
    commits = GroupCommit(backend.flush)
    first = await in_flight(commits, backend, insert("first"))
    rest = start(commits, *(insert(f"g{number}", number) for number in (5, 3, 9, 1)))
    await settle()
    assert len(backend.batches) == 1
    backend.gate.set()
    assert await asyncio.gather(first, *rest) == [True] * 5
    assert backend.batches == [["first"], ["g1", "g3", "g5", "g9"]]


@pytest.mark.gen_test
async def test_a_batch_has_a_largest_number_of_rows():
    backend = Backend()
    commits = GroupCommit(backend.flush)
    await asyncio.gather(*start(commits, *(insert(f"g{number}") for number in range(2 * MAX_ROWS + 1))))
    assert [len(batch) for batch in backend.batches] == [MAX_ROWS, MAX_ROWS, 1]


@pytest.mark.gen_test
async def test_a_batch_has_a_largest_size_and_one_huge_item_goes_alone():
    backend = Backend()
    commits = GroupCommit(backend.flush)
    sizes = {"a": 400_000, "b": 400_000, "c": 400_000, "huge": 5_000_000, "d": 10}
    await asyncio.gather(*start(commits, *(insert(gid, size=size) for gid, size in sizes.items())))
    assert backend.batches == [["a", "b"], ["c"], ["huge"], ["d"]]


@pytest.mark.gen_test
async def test_each_item_has_its_own_time():
    backend = Backend()
    commits = GroupCommit(backend.flush, timeout=0.2)
    in_the_air = await in_flight(commits, backend, insert("in the air"))
    heard = []
    for number in range(3):
        (queued,) = start(commits, insert(f"g{number}"))
        queued.add_done_callback(lambda task, number=number: heard.append(number))
        await asyncio.sleep(0.1)
    with pytest.raises(OutcomeUnknown):
        await in_the_air
    async with asyncio.timeout(5):
        while heard != [0, 1, 2]:
            await asyncio.sleep(0.01)
    backend.gate.set()
    assert await commits.write(insert("later")) is True
    (hangs,) = [await in_flight(commits, backend, insert("hangs"))]
    with pytest.raises(OutcomeUnknown):  # there was nothing to watch for meanwhile
        await hangs
    backend.gate.set()


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.gen_test
async def test_writes_of_one_gid_go_in_order_in_different_batches(lanes):
    backend = Backend()
    commits = GroupCommit(backend.flush, lanes=lanes)
    items = [update("same", 7, version) for version in range(4)]
    tasks = start(commits, items[0], insert("other"), *items[1:])
    await asyncio.gather(*tasks)
    assert backend.landed.count("same") == 4
    assert all(batch.count("same") <= 1 for batch in backend.batches)
    first = await in_flight(commits, backend, items[0])
    rest = start(commits, *items[1:])
    await settle()
    assert backend.batches[-1] == ["same"]
    before = len(backend.batches)
    backend.gate.set()
    await asyncio.gather(first, *rest)
    assert len(backend.batches) == before + 3


@pytest.mark.gen_test
async def test_lanes_fly_side_by_side():
    backend = Backend()
    commits = GroupCommit(backend.flush, lanes=2)
    tasks = [await in_flight(commits, backend, insert("a")), await in_flight(commits, backend, insert("b"))]
    tasks += start(commits, insert("c"), insert("d"))
    await settle()
    assert backend.batches == [["a"], ["b"]]
    backend.gate.set()
    assert await asyncio.gather(*tasks) == [True] * 4
    assert backend.batches == [["a"], ["b"], ["c", "d"]]


@pytest.mark.gen_test
async def test_one_bad_item_never_fails_its_neighbours():
    backend = Backend()
    backend.trouble = lambda gids: InvalidRequest("", "bad") if {"g3", "g11"} & {*gids} else None
    commits = GroupCommit(backend.flush)
    results = await asyncio.gather(*start(commits, *(insert(f"g{i}", i) for i in range(16))), return_exceptions=True)
    assert [i for i, result in enumerate(results) if isinstance(result, InvalidRequest)] == [3, 11]
    assert results.count(True) == 14
    assert len(backend.landed) == len({*backend.landed}) == 14


@pytest.mark.gen_test
async def test_each_item_hears_its_own_verdict():
    backend = Backend()
    refused = InvalidRequest("", "no")
    backend.verdict = {"ok": True, "conflict": False, "refused": refused}.__getitem__
    commits = GroupCommit(backend.flush)
    tasks = start(commits, insert("ok"), insert("conflict"), insert("refused"))
    assert await asyncio.gather(*tasks, return_exceptions=True) == [True, False, refused]
    assert commits.flushes == 1


@pytest.mark.parametrize("error", [OutcomeUnknown, StoreUnavailable])
@pytest.mark.gen_test
async def test_a_batch_with_one_fate_is_not_split(error):
    backend = Backend()
    backend.trouble = lambda gids: error("text")
    commits = GroupCommit(backend.flush)
    results = await asyncio.gather(*start(commits, insert("a"), insert("b")), return_exceptions=True)
    assert [type(result) for result in results] == [error, error]
    assert results[0] is not results[1]
    assert backend.batches == [["a", "b"]]


@pytest.mark.gen_test
async def test_an_error_nobody_foresaw_leaves_the_outcome_unknown(caplog):
    backend = Backend()
    backend.trouble = lambda gids: KeyError("oops") if "a" in gids else None
    commits = GroupCommit(backend.flush)
    results = await asyncio.gather(*start(commits, insert("a"), insert("b")), return_exceptions=True)
    assert [type(result) for result in results] == [OutcomeUnknown, OutcomeUnknown]
    assert "oops" in caplog.text
    assert await commits.write(insert("c")) is True


@pytest.mark.gen_test
async def test_time_outs_tell_withdrawn_from_unknown():
    backend = Backend()
    commits = GroupCommit(backend.flush, timeout=0.05)
    flying = await in_flight(commits, backend, insert("flying"))
    (queued,) = start(commits, insert("queued"))
    results = await asyncio.gather(flying, queued, return_exceptions=True)
    assert [type(result) for result in results] == [OutcomeUnknown, StoreUnavailable]
    backend.gate.set()
    assert await commits.write(insert("later")) is True
    assert backend.landed == ["flying", "later"]


@pytest.mark.gen_test
async def test_a_cancelled_caller_withdraws_what_is_queued_and_leaves_what_flies():
    backend = Backend()
    commits = GroupCommit(backend.flush)
    flying = await in_flight(commits, backend, insert("flying"))
    queued, neighbour = start(commits, insert("queued"), insert("neighbour"))
    await settle()
    flying.cancel()
    queued.cancel()
    await settle()
    assert flying.cancelled()
    assert queued.cancelled()
    backend.gate.set()
    assert await neighbour is True
    assert backend.landed == ["flying", "neighbour"]


@pytest.mark.gen_test
async def test_a_cancelled_caller_does_not_disturb_its_batch():
    backend = Backend()
    commits = GroupCommit(backend.flush)
    backend.gate.clear()
    tasks = start(commits, insert("a", 1), insert("b", 2), insert("c", 3))
    await settle()
    tasks[1].cancel()
    await settle()
    backend.gate.set()
    assert await asyncio.gather(tasks[0], tasks[2]) == [True, True]
    assert backend.landed == ["a", "b", "c"]


@pytest.mark.gen_test
async def test_a_flight_survives_the_garbage_collector():
    backend = Backend()
    commits = GroupCommit(backend.flush)
    task = await in_flight(commits, backend, insert("a"))
    gc.collect()
    await settle()
    backend.gate.set()
    assert await task is True


@pytest.mark.gen_test
async def test_close_writes_what_is_queued():
    backend = Backend()
    commits = GroupCommit(backend.flush)
    tasks = [await in_flight(commits, backend, insert("a")), *start(commits, insert("b"), insert("b"))]
    await settle()
    closing = asyncio.ensure_future(commits.close())
    await settle()
    assert not closing.done()
    with pytest.raises(StoreUnavailable):
        await commits.write(insert("too late"))
    backend.gate.set()
    await closing
    assert await asyncio.gather(*tasks) == [True] * 3
    assert backend.landed == ["a", "b", "b"]
    await commits.close()


@pytest.mark.gen_test
async def test_close_does_not_wait_for_ever():
    backend = Backend()
    commits = GroupCommit(backend.flush, timeout=0.05)
    task = await in_flight(commits, backend, insert("a"))
    await commits.close()
    with pytest.raises(OutcomeUnknown):
        await task
    backend.gate.set()
    await settle()
