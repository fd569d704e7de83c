"""Each error of the server, met by each method of the store, before its statement is executed and after."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from mysql_faults import CLAIM, INSERT, UPDATE, refusal
from store_values import LEASE, finished, free, make_tx, owned

from dtm.core.errors import OutcomeUnknown, StoreUnavailable
from dtm.core.model import Status
from dtm.core.store.base import QUARANTINE, Filter, Save, Store
from tests.support.tcp_proxy import Trouble

AGAIN = (1020, 1213, 1412, 3101)
NOT_NOW = (1040, 1047, 1114, 1205, 1290, 1836)
ENDED = (0, 1053, 1317, 1927, 2006, 2013, 3024, 4031, 9999)
"""What may come before or after the commit; 0: the connection is cut without a word."""


@dataclass(frozen=True)
class Method:
    """marker: what its statement contains. done: whether it has had its effect; None: it only reads.

    knows: the store finds out by itself what became of a write whose answer is lost;
    if not, OutcomeUnknown.
    """

    marker: bytes
    call: Callable[[Store, Any], Awaitable[Any]]
    done: Callable[[Store, Any], Awaitable[bool]] | None = None
    knows: bool = True


async def rows_of(store):
    """A row for each method, by its name; and an entry."""
    rows = {
        name: await store.insert(owned(store, name)) for name in ("save", "load", "renew", "owned_versions", "purge")
    }
    await store.insert(free(store, "give_back", -1))
    (rows["give_back"],) = await store.claim_due("me", 1, LEASE)
    await store.insert(make_tx("release", due_at=QUARANTINE))
    rows["claim_due"] = await store.insert(free(store, "claim_due", -1))
    rows["make_due"] = await store.insert(free(store, "make_due", 1000))
    await store.save(finished(rows["purge"], at=5))
    await store.kv_put("c", "old", "v", 0)
    return rows


def saving(tx):
    return Save(replace(tx, status=Status.ABORTING), tx.version)


async def now_due(store, rows):
    return (await store.load("make_due")).due_at < rows["make_due"].due_at


async def renewed(store, rows):
    return (await store.load("renew")).due_at > rows["renew"].due_at


async def given_back(store, rows):
    return (await store.load("give_back")).owner == ""


async def released(store, rows):
    return (await store.load("release")).due_at < QUARANTINE


async def claimed(store, rows):
    return (await store.load("claim_due")).owner == "me"


async def saved(store, rows):
    return (await store.load("save")).status is Status.ABORTING


async def inserted(store, rows):
    return await store.load("new") is not None


async def purged(store, rows):
    return await store.load("purge") is None


async def put(store, rows):
    return await store.kv_get("c", "new") is not None


async def deleted(store, rows):
    return await store.kv_get("c", "old") is None


METHODS = {
    "insert": Method(INSERT, lambda store, rows: store.insert(owned(store, "new")), inserted),
    "save": Method(UPDATE, lambda store, rows: store.save(saving(rows["save"])), saved),
    "claim_due": Method(CLAIM, lambda store, rows: store.claim_due("me", 1, LEASE), claimed, False),
    "give_back": Method(
        b"SET owner = ''", lambda store, rows: store.give_back(rows["give_back"], 7), given_back, False
    ),
    "release": Method(b"dtm_transaction_gid) SET", lambda store, rows: store.release("release"), released, False),
    "renew": Method(b"GREATEST", lambda store, rows: store.renew({rows["renew"].id: "node-a"}, 99), renewed, False),
    "make_due": Method(b"owner = '' AND", lambda store, rows: store.make_due(500, 10), now_due),
    "purge_finished": Method(b"DELETE t", lambda store, rows: store.purge_finished(10, 10), purged),
    "kv_put": Method(b"INSERT INTO dtm_kv", lambda store, rows: store.kv_put("c", "new", "v", 0), put),
    "kv_delete": Method(b"DELETE FROM dtm_kv", lambda store, rows: store.kv_delete("c", "old"), deleted),
    "load": Method(b"WHERE gid IN", lambda store, rows: store.load("load")),
    "owned_versions": Method(
        b"SELECT id, version", lambda store, rows: store.owned_versions({rows["owned_versions"].id: "node-a"})
    ),
    "scan": Method(b"ORDER BY id DESC", lambda store, rows: store.scan(Filter(), "", 10)),
    "backlog": Method(b"AS number", lambda store, rows: store.backlog()),
    "count_finished": Method(b"SELECT count(*)", lambda store, rows: store.count_finished(10)),
    "unfinished_versions": Method(b"UNION ALL", lambda store, rows: store.unfinished_versions()),
    "kv_get": Method(b"FROM dtm_kv WHERE cat", lambda store, rows: store.kv_get("c", "old")),
    "kv_scan": Method(b"ORDER BY cat", lambda store, rows: store.kv_scan("c", "", 10)),
    "ping": Method(CLAIM, lambda store, rows: store.ping()),
}


def test_no_method_is_forgotten():
    without_being_open = {"now", "open", "close", "survey", "upgrade"}
    assert METHODS.keys() == Store.__abstractmethods__ - without_being_open


@pytest.mark.parametrize(
    ("code", "when"),
    [(code, "before") for code in (*AGAIN, *NOT_NOW, *ENDED)] + [(code, "after") for code in ENDED],
)
@pytest.mark.gen_test
async def test_each_error_at_each_method(mysql_store, another, proxy, code, when):
    store = await another(proxy.port)
    rows = await rows_of(mysql_store)
    for name, method in METHODS.items():
        proxy.troubles = [Trouble(method.marker, when, reply=refusal(code) if code else None)]
        try:
            answer = await method.call(store, rows)
        except StoreUnavailable:
            answer = StoreUnavailable
        except OutcomeUnknown:
            answer = OutcomeUnknown
        assert proxy.troubles[0].times == 0, name
        if code in NOT_NOW:
            assert answer is StoreUnavailable, name
            done = False
        elif code in ENDED and not method.knows:
            assert answer is OutcomeUnknown, name
            done = when == "after"
        else:
            assert answer not in (StoreUnavailable, OutcomeUnknown), name
            done = True
        if method.done is None:
            expected = StoreUnavailable if code in NOT_NOW else await method.call(mysql_store, rows)
            assert answer == expected, name
        else:
            assert await method.done(mysql_store, rows) is done, name
