"""Lost answers to writes that are no flush: they are written again, and what became of them is found out."""

from __future__ import annotations

import pytest
from mysql_faults import refusal, some_rows
from store_values import finished, parked

from dtm.core.errors import OutcomeUnknown
from tests.support.tcp_proxy import Trouble


@pytest.mark.parametrize("when", ["before", "after", "at once"])
@pytest.mark.gen_test
async def test_an_entry_whose_answer_is_lost(mysql_store, another, proxy, when):
    store = await another(proxy.port)
    markers = (b"INSERT INTO dtm_kv", b"UPDATE dtm_kv", b"DELETE FROM dtm_kv")
    proxy.troubles = [Trouble(marker, when, times=2) for marker in markers]
    assert await store.kv_put("c", "k", "one", 0) is True
    assert await store.kv_put("c", "k", "two", 1) is True
    entry = await mysql_store.kv_get("c", "k")
    assert (entry.value, entry.version) == ("two", 2)
    assert await store.kv_delete("c", "k") is True
    assert await store.kv_delete("c", "k") is False
    assert await mysql_store.kv_get("c", "k") is None
    assert [trouble.times for trouble in proxy.troubles] == [0, 0, 0]


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ("value = 'other'", False),
        ("value = 'other', version = version + 1", OutcomeUnknown),
        (None, OutcomeUnknown),
    ],
)
@pytest.mark.gen_test
async def test_an_entry_whose_answer_is_lost_while_others_write(mysql_store, another, proxy, mariadb, change, outcome):
    store = await another(proxy.port)
    await store.kv_put("c", "k", "one", 0)

    def meanwhile(answer):
        statement = f"UPDATE dtm_kv SET {change}" if change else "DELETE FROM dtm_kv"
        mariadb.run(statement, database=store.address.database)
        return refusal(1927)(answer)

    proxy.troubles = [Trouble(b"UPDATE dtm_kv", "after", reply=meanwhile)]
    if outcome is False:
        assert await store.kv_put("c", "k", "two", 1) is False
    else:
        with pytest.raises(outcome, match="changed the entry since"):
            await store.kv_put("c", "k", "two", 1)


@pytest.mark.gen_test
async def test_a_late_deletion_spares_a_new_entry(mysql_store, another, proxy, mariadb):
    store = await another(proxy.port)
    await store.kv_put("c", "k", "one", 0)

    def meanwhile(answer):
        mariadb.run("INSERT INTO dtm_kv VALUES ('c', 'k', 'new', 1, 5, 5)", database=store.address.database)
        return refusal(1927)(answer)

    proxy.troubles = [Trouble(b"DELETE FROM dtm_kv", "after", reply=meanwhile)]
    assert await store.kv_delete("c", "k") is True
    assert (await mysql_store.kv_get("c", "k")).value == "new"


@pytest.mark.parametrize("when", ["before", "after", "at once"])
@pytest.mark.gen_test
async def test_what_may_be_done_twice_is(mysql_store, another, proxy, when):
    store = await another(proxy.port)
    rows = await some_rows(store, 2)
    await store.save(finished(rows[0], 100))
    await store.save(parked(rows[1], due_at=mysql_store.now() + 100_000))
    proxy.troubles = [Trouble(marker, when, times=2) for marker in (b"DELETE t FROM", b"SET t.due_at = TIMESTAMPDIFF")]
    assert await store.purge_finished(200, 10) == (1 if when == "before" else 0)
    assert await mysql_store.load(rows[0].gid) is None
    assert await store.make_due(10, 10) == (1 if when == "before" else 0)
    assert (await mysql_store.load(rows[1].gid)).due_at <= mysql_store.now() + 1
    assert [trouble.times for trouble in proxy.troubles] == [0, 0]


@pytest.mark.gen_test
async def test_an_entry_that_cannot_be_found_out_in_time_is_unknown(mysql_store, another, proxy):
    store = await another(proxy.port, db_timeout=0.5)
    proxy.troubles = [Trouble(b"INSERT INTO dtm_kv", "after", times=1000)]
    with pytest.raises(OutcomeUnknown):
        await store.kv_put("c", "k", "v", 0)
    assert (await mysql_store.kv_get("c", "k")).value == "v"
