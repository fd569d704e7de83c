"""A Galera cluster: servers that lag behind one another, conflicts at the end of a statement, a server that is killed.

GALERA_SAGAS: how many more sagas each stage of the last test takes (make galera).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import threading
import time
from collections import Counter
from http.client import HTTPException

import pytest
from mysql_faults import some_rows, until
from store_values import LEASE, free, owned

from dtm.core.errors import OutcomeUnknown, StaleVersion, StoreUnavailable
from dtm.core.store.base import Save
from dtm.core.store.mysql import MysqlStore
from dtm.core.store.mysql_schema import migrations
from tests.support.client import FINAL, Client
from tests.support.coordinator import FAST, Coordinator
from tests.support.galera import Galera
from tests.support.ledger import CLOSED, Ledger
from tests.support.mariadb import database_of
from tests.support.waiting import until as wait_until

SAGAS = int(os.environ.get("GALERA_SAGAS", "100"))
CLIENTS = 12


@pytest.fixture(scope="module")
def galera():
    """A cluster of three servers."""
    cluster = Galera()
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.fixture
def stores(galera, tmp_path, io_loop):
    """An open store on each of the servers, of one database."""
    stores = [MysqlStore(node.url(database_of(tmp_path))) for node in galera.nodes]

    async def open_all():
        await asyncio.gather(*(store.open() for store in stores))

    async def close_all():
        await asyncio.gather(*(store.close() for store in stores))

    io_loop.run_sync(open_all)
    yield stores
    io_loop.run_sync(close_all)


@pytest.mark.gen_test
async def test_three_nodes_open_an_empty_cluster_at_once(stores, galera):
    for node in galera.nodes:
        revisions = node.run("SELECT revision FROM dtm_schema", database=stores[0].address.database)
        assert revisions == tuple((revision,) for revision in sorted(migrations()))


@pytest.mark.gen_test
async def test_what_one_server_has_confirmed_is_read_from_the_others(stores):
    here, there, elsewhere = stores
    for number in range(150):
        tx = await here.insert(owned(here, f"g{number}"))
        assert await there.load(tx.gid) == tx
        version = await there.save(Save(tx, tx.version))
        assert await elsewhere.owned_versions({tx.id: "node-a"}) == {tx.id: version}
        assert await here.renew({tx.id: "node-a"}, LEASE) == {tx.id}


@pytest.mark.gen_test
async def test_of_saves_on_several_servers_one_wins(stores):
    rows = await some_rows(stores[0], 60)
    saves = [(tx, store) for tx in rows for store in stores]
    results = await asyncio.gather(*(store.save(Save(tx, tx.version)) for tx, store in saves), return_exceptions=True)
    won = {tx.gid: result for (tx, _), result in zip(saves, results, strict=True) if isinstance(result, int)}
    assert Counter(map(type, results)) == {int: 60, StaleVersion: 120}
    for store in stores:
        assert {gid: (await store.load(gid)).version for gid in won} == won


@pytest.mark.gen_test
async def test_of_inserts_on_several_servers_one_wins(stores):
    wanted = [owned(store, f"g{number}") for number in range(60) for store in stores]
    results = await asyncio.gather(*(stores[i % 3].insert(tx) for i, tx in enumerate(wanted)))
    won = {tx.gid: tx for tx in results if tx is not None}
    assert Counter(tx is None for tx in results) == {False: 60, True: 120}
    for store in stores:
        assert {gid: await store.load(gid) for gid in won} == won


@pytest.mark.gen_test
async def test_claims_on_several_servers_never_share_a_row(stores):
    await asyncio.gather(*(stores[0].insert(free(stores[0], f"g{number}", -1)) for number in range(200)))
    taken = []

    async def node(name, store):
        while claims := await store.claim_due(name, 9, LEASE):
            taken.extend(claim.tx for claim in claims)

    await asyncio.gather(*(node(f"node{i}", store) for i, store in enumerate(stores)))
    assert Counter(tx.gid for tx in taken) == {f"g{number}": 1 for number in range(200)}
    assert [await stores[0].load(tx.gid) for tx in taken] == taken


@pytest.mark.gen_test
async def test_entries_written_on_several_servers(stores):
    written = await asyncio.gather(*(store.kv_put("c", "k", f"v{i}", 0) for i, store in enumerate(stores)))
    assert Counter(written) == {True: 1, False: 2}
    values = {(await store.kv_get("c", "k")).value for store in stores}
    assert values == {f"v{written.index(True)}"}


@pytest.mark.gen_test
async def test_a_server_that_is_not_ready_does_nothing(stores, galera):
    (tx,) = await some_rows(stores[0], 1)
    await stores[2].load("g0")
    galera.nodes[2].run("SET GLOBAL wsrep_reject_queries = ALL")
    try:
        store = stores[2]
        calls = [store.insert(owned(store, "g9")), store.save(Save(tx, tx.version)), store.load("g0"), store.ping()]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result) for result in results] == [StoreUnavailable] * 4
        assert "1047" in str(results[0])
    finally:
        galera.nodes[2].run("SET GLOBAL wsrep_reject_queries = NONE")
    assert await store.load("g9") is None
    assert await store.load("g0") == tx
    assert await store.save(Save(tx, tx.version))


@pytest.mark.gen_test(timeout=110)
async def test_a_server_is_cut_off_from_the_others(stores, galera):
    """What it had confirmed is on the others too; what it refuses is nowhere; it comes back by itself."""
    here, there, elsewhere = stores
    fates = {"stored": set(), "refused": set(), "unknown": set()}
    enough = asyncio.Event()

    async def client(store, name):
        for number in itertools.count():
            gid, fate = f"{name}-{number}", "stored"
            try:
                await store.insert(owned(store, gid))
            except StoreUnavailable:
                fate = "refused"
            except OutcomeUnknown:
                fate = "unknown"
            fates[fate].add(gid)
            if enough.is_set():
                return
            await asyncio.sleep(0.02)

    clients = [asyncio.ensure_future(client(store, f"c{i}")) for i, store in enumerate((here, there) * 3)]
    await asyncio.to_thread(galera.nodes[1].run, "SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'")
    await until(lambda: fates["refused"], within=60)
    with pytest.raises(StoreUnavailable, match="1047"):
        await there.load("c0-0")
    await asyncio.to_thread(galera.nodes[1].run, "SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'")
    await asyncio.to_thread(galera.nodes[1].wait_until_synced)
    enough.set()
    await asyncio.gather(*clients)
    found = {gid for gids in fates.values() for gid in gids if await elsewhere.load(gid)}
    assert fates["stored"] <= found <= fates["stored"] | fates["unknown"]
    await until(lambda: len(checksums(galera, here.address.database)) == 1)


def checksums(galera, database):
    """One, when all servers have the same rows."""
    return {node.run("CHECKSUM TABLE dtm_transaction", database=database) for node in galera.nodes}


@pytest.fixture
def ledger():
    bank = Ledger(slow=0.05)
    yield bank
    bank.close()


@pytest.fixture
def coordinators(galera, tmp_path):
    """Two, each with a server of its own."""
    started = []
    for number in range(2):
        folder = tmp_path / f"coordinator{number}"
        folder.mkdir()
        url = galera.nodes[number].url(database_of(tmp_path))
        started.append(Coordinator(folder, **FAST, DTM_STORE=url, DTM_DB_TIMEOUT="2").start())
    yield started
    for coordinator in started:
        coordinator.terminate()


class Customers:
    """Threads that submit sagas, every third one refused, and ask again, at the other coordinator, until they know."""

    def __init__(self, ledger, coordinators):
        self.answers = {}
        self.answered = Counter()
        """How many sagas each coordinator has taken."""
        self._ledger = ledger
        self._clients = [Client(coordinator.url) for coordinator in coordinators]
        self._numbers = itertools.count()
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number % 2,)) for number in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def _run(self, mine):
        while not self._enough.is_set():
            saga = self._saga(next(self._numbers))
            for turn in itertools.count(mine):
                try:
                    status, reply = self._clients[turn % 2].post("submit", saga)
                except (OSError, HTTPException):
                    status = 0
                if 200 <= status < 500:
                    break
                time.sleep(0.05)
            self.answers[saga["gid"]] = status, reply
            self.answered[turn % 2] += 1

    def _saga(self, number):
        account = f"{CLOSED}-{number}" if number % 3 == 0 else f"open-{number}"
        moves = [("till", -5), (account, 5)]
        return {
            "gid": f"{account}-gid",
            "trans_type": "saga",
            "steps": [{"action": self._ledger.url("move"), "compensate": self._ledger.url("unmove")} for _ in moves],
            "payloads": [json.dumps({"account": name, "amount": amount}) for name, amount in moves],
            "wait_result": number % 2 == 0,
        }


@pytest.mark.timeout(600)
def test_a_server_is_killed_and_joins_again_under_load(galera, coordinators, ledger):
    customers = Customers(ledger, coordinators)
    try:
        wait_until(lambda: len(customers.answers) > SAGAS, within=120)
        galera.nodes[1].kill()
        before = customers.answered[0]
        wait_until(lambda: customers.answered[0] > before + SAGAS, within=120)
        galera.nodes[1].start()
        before = customers.answered[1]
        wait_until(lambda: customers.answered[1] > before + SAGAS, within=120)
    finally:
        customers.stop()
    endings = {gid: coordinators[0].client.until_final(gid, within=60) for gid in customers.answers}
    print(f"sagas={len(endings)} by coordinator={dict(customers.answered)} endings={dict(Counter(endings.values()))}")
    check(customers.answers, endings, ledger)
    database = database_of(coordinators[0].folder.parent)
    wait_until(lambda: len(checksums(galera, database)) == 1)


def check(answers, endings, ledger):
    """Every saga was accepted, or said to be there or to have failed; each is all or nothing in the books."""
    for gid, (status, reply) in answers.items():
        there = status == 409 and reply["status"] in (*FINAL, "submitted", "aborting")
        assert status in (200, 425) or there, (gid, status, reply)
    assert ledger.faults == []
    assert sum(ledger.balances.values()) == 0
    for gid, ending in endings.items():
        assert ending == ("failed" if gid.startswith(CLOSED) else "succeed")
        acted = {branch: amount for branch, op, amount in ledger.effects(gid) if op == "action"}
        undone = {branch: -amount for branch, op, amount in ledger.effects(gid) if op == "compensate"}
        if ending == "succeed":
            assert (acted.keys(), undone) == ({"01", "02"}, {})
        else:
            assert {branch: amount for branch, amount in undone.items() if amount} == acted
