"""Loads that are read together, in front of a table that the test holds in its hand."""

from __future__ import annotations

import asyncio

import pytest
from store_values import make_tx

from dtm.core.errors import CorruptRow, StoreUnavailable
from dtm.core.store.group_load import MOST, GroupLoad


class Table:
    """Writes down what is read together; reads what is stored at the end of a read, while the gate is open."""

    def __init__(self, *gids):
        self.rows = {gid: make_tx(gid) for gid in gids}
        self.batches = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.trouble = None

    async def read(self, gids):
        self.batches.append(list(gids))
        found = {gid: self.rows[gid] for gid in gids if gid in self.rows}
        await self.gate.wait()
        if self.trouble:
            raise self.trouble
        return found


async def settle():
    for _ in range(50):
        await asyncio.sleep(0)


async def in_flight(loads, table, gid):
    """Begin a load and hold it in the table."""
    table.gate.clear()
    answer = loads.load(gid)
    await settle()
    assert table.batches[-1] == [gid]
    return answer


@pytest.mark.gen_test
async def test_what_is_asked_for_in_one_turn_is_read_together_and_once():
    table = Table("a", "b")
    loads = GroupLoad(table.read)
    found = await asyncio.gather(*map(loads.load, ("a", "b", "none", "a")))
    assert found == [table.rows["a"], table.rows["b"], None, table.rows["a"]]
    assert table.batches == [["a", "b", "none"]]
    assert await loads.load("b") is table.rows["b"]


@pytest.mark.gen_test
async def test_who_asks_while_a_read_is_under_way_hears_what_a_later_one_finds():
    table = Table("a")
    loads = GroupLoad(table.read)
    early = await in_flight(loads, table, "a")
    old, table.rows["a"] = table.rows["a"], make_tx("a", version=2)
    late = loads.load("a")
    await settle()
    assert table.batches == [["a"]]
    table.gate.set()
    assert (await early, await late) == (old, table.rows["a"])
    assert table.batches == [["a"], ["a"]]


@pytest.mark.gen_test
async def test_lanes_read_side_by_side():
    table = Table()
    loads = GroupLoad(table.read, lanes=2)
    answers = [await in_flight(loads, table, gid) for gid in ("a", "b")]
    answers += [loads.load("c"), loads.load("d")]
    await settle()
    assert table.batches == [["a"], ["b"]]
    table.gate.set()
    assert await asyncio.gather(*answers) == [None] * 4
    assert table.batches == [["a"], ["b"], ["c", "d"]]


@pytest.mark.gen_test
async def test_a_read_has_a_largest_number_of_rows():
    table = Table()
    loads = GroupLoad(table.read)
    await asyncio.gather(*(loads.load(f"g{number}") for number in range(2 * MOST + 1)))
    assert [len(batch) for batch in table.batches] == [MOST, MOST, 1]


@pytest.mark.gen_test
async def test_a_row_that_cannot_be_read_is_nobody_elses_concern():
    table = Table("a")
    table.rows["poison"] = CorruptRow("poison cannot be read")
    loads = GroupLoad(table.read)
    good, *bad = await asyncio.gather(*map(loads.load, ("a", "poison", "poison")), return_exceptions=True)
    assert good is table.rows["a"]
    assert [(type(error), str(error)) for error in bad] == [(CorruptRow, "poison cannot be read")] * 2
    assert bad[0] is not bad[1]


@pytest.mark.parametrize("trouble", [StoreUnavailable("gone"), RuntimeError("gone")])
@pytest.mark.gen_test
async def test_a_read_that_fails_is_heard_of_by_all_and_the_next_one_is_not_hurt(trouble):
    table = Table("a")
    loads = GroupLoad(table.read)
    table.trouble = trouble
    errors = await asyncio.gather(*map(loads.load, "ab"), return_exceptions=True)
    assert [(type(error), str(error)) for error in errors] == [(StoreUnavailable, "gone")] * 2
    assert errors[0] is not errors[1]
    table.trouble = None
    assert await loads.load("a") is table.rows["a"]


@pytest.mark.gen_test
async def test_who_queues_behind_a_read_that_hangs_waits_no_longer_than_alone():
    table = Table()
    loads = GroupLoad(table.read, timeout=0.1)
    hanging = await in_flight(loads, table, "hangs")
    queued = loads.load("queued")
    for answer in (hanging, queued):
        with pytest.raises(StoreUnavailable, match="has not answered"):
            await answer
    assert table.batches == [["hangs"]]
    table.gate.set()
    assert await loads.load("later") is None
    assert table.batches == [["hangs"], ["later"]]
    again = await in_flight(loads, table, "again")
    with pytest.raises(StoreUnavailable):  # there was nothing to watch for meanwhile
        await again
    table.gate.set()


@pytest.mark.gen_test
async def test_who_has_gone_is_not_read_for():
    table = Table()
    loads = GroupLoad(table.read)
    first = await in_flight(loads, table, "first")
    gone, stays = loads.load("gone"), loads.load("stays")
    gone.cancel()
    first.cancel()
    table.gate.set()
    assert await stays is None
    assert table.batches == [["first"], ["stays"]]


@pytest.mark.gen_test
async def test_closing_reads_what_is_queued_and_takes_nothing_more():
    table = Table("a")
    loads = GroupLoad(table.read)
    first = await in_flight(loads, table, "first")
    queued = loads.load("a")
    closing = asyncio.ensure_future(loads.close())
    await settle()
    assert not closing.done()
    with pytest.raises(StoreUnavailable, match="closed"):
        loads.load("more")
    table.gate.set()
    await closing
    assert (first.result(), queued.result()) == (None, table.rows["a"])
    await loads.close()
