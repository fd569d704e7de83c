"""Opening the store on a server: what it makes, what it refuses and in which words, and who hears the password."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct

import pymysql
import pytest
import uvloop
from store_values import owned

from dtm.core.errors import StartupError, StoreUnavailable
from dtm.core.store.mysql import MysqlStore
from dtm.core.store.mysql_address import parse_address
from dtm.core.store.mysql_schema import migrations, revisions, upgrade
from tests.support.mariadb import PASSWORD, QUOTED_PASSWORD, USER, database_of, make_certificate
from tests.support.ports import free_port


async def refusal(url, **kwargs):
    """What the operator reads when the store does not open."""
    store = MysqlStore(url, **kwargs)
    with pytest.raises(StartupError) as caught:
        await store.open()
    text = str(caught.value)
    assert "\n" not in text
    assert "heim" not in text
    with pytest.raises(StoreUnavailable):
        await store.load("g1")
    await store.close()
    return text


@pytest.mark.gen_test
async def test_a_strange_server_is_refused_in_one_line(mariadb):
    good = mariadb.url("dtm_x")
    nobody = free_port()
    unknown = await refusal(good.replace("127.0.0.1", "no-such-host.invalid"))
    assert unknown.startswith(f"store mysql://no-such-host.invalid:{mariadb.port}/dtm_x: Can't connect")
    assert "Name or service not known" in unknown or "name resolution" in unknown
    silent = await refusal(good.replace(str(mariadb.port), str(nobody)))
    assert silent.startswith(f"store mysql://127.0.0.1:{nobody}/dtm_x: Can't connect")
    assert "Connect call failed" in silent
    wrong = await refusal(good.replace(QUOTED_PASSWORD, "geheimer"))
    assert wrong.startswith(f"store mysql://127.0.0.1:{mariadb.port}/dtm_x: Access denied for user 'dtm'@")
    forbidden = await refusal(mariadb.url("other_database"))
    assert "Access denied for user 'dtm'@'%' to database 'other_database'" in forbidden


@pytest.mark.gen_test
async def test_a_server_that_never_answers():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"mysql://u:geheim@127.0.0.1:{silent.getsockname()[1]}/dtm_x"
        assert "in time" in await refusal(url, db_timeout=0.2)


@pytest.mark.gen_test
async def test_a_read_only_server(mysql_store, mariadb, tmp_path):
    mariadb.run("SET GLOBAL read_only = 1")
    try:
        assert "--read-only" in await refusal(mariadb.url(database_of(tmp_path)))
        assert "--read-only" in await refusal(mariadb.url("dtm_not_there_yet"))
    finally:
        mariadb.run("SET GLOBAL read_only = 0")


@pytest.mark.gen_test
async def test_too_many_connections(mysql_store, mariadb, tmp_path):
    mariadb.run(f"GRANT USAGE ON *.* TO '{USER}'@'%' WITH MAX_USER_CONNECTIONS 1")
    try:
        tx = await mysql_store.insert(owned(mysql_store, "g1"))
        with pytest.raises(StoreUnavailable, match="max_user_connections"):
            await mysql_store.renew({tx.id: "node-a"}, 1.0)
        assert "max_user_connections" in await refusal(mariadb.url(database_of(tmp_path)))
    finally:
        mariadb.run(f"GRANT USAGE ON *.* TO '{USER}'@'%' WITH MAX_USER_CONNECTIONS 0")
    assert await mysql_store.renew({tx.id: "node-a"}, 1.0) == {tx.id}


@pytest.mark.gen_test(timeout=60)
async def test_many_nodes_open_an_empty_server_at_once(mariadb, tmp_path):
    url = mariadb.url(database_of(tmp_path))
    assert await revisions(parse_address(url), 5.0) == (0, max(migrations()))
    stores = [MysqlStore(url) for _ in range(6)]
    await asyncio.gather(*(store.open() for store in stores))
    assert await revisions(stores[0].address, 5.0) == (max(migrations()), max(migrations()))
    assert await stores[0].insert(owned(stores[0], "g1"))
    assert await stores[5].load("g1")
    for store in stores:
        await store.close()


@pytest.mark.gen_test
async def test_a_schema_that_is_not_ours_is_refused(mysql_store, mariadb, tmp_path):
    url, known = mariadb.url(database_of(tmp_path)), max(migrations())
    mariadb.run("INSERT INTO dtm_schema VALUES (%s)", (known + 1,), mysql_store.address.database)
    newer = await refusal(url)
    assert newer.endswith(f"its schema has revision {known + 1}, this version of dtm knows {known} at most")
    with pytest.raises(StartupError, match=f"knows {known} at most"):
        await upgrade(mysql_store.address, 5.0)
    mariadb.run("DELETE FROM dtm_schema", database=mysql_store.address.database)
    mariadb.run("INSERT INTO dtm_schema VALUES (-1)", database=mysql_store.address.database)
    older = await refusal(url)
    assert older.endswith(
        f"its schema has revision -1, this version of dtm needs {known}: upgrade it by dtm db upgrade"
    )
    assert await upgrade(mysql_store.address, 5.0) == (-1, known)
    store = MysqlStore(url)
    await store.open()
    await store.close()


@pytest.mark.gen_test
async def test_a_schema_half_made_is_completed(mysql_store, mariadb, tmp_path):
    tx = await mysql_store.insert(owned(mysql_store, "g1"))
    for table in ("dtm_kv", "dtm_schema"):
        mariadb.run(f"DROP TABLE {table}", database=mysql_store.address.database)
    store = MysqlStore(mariadb.url(database_of(tmp_path)))
    await store.open()
    assert await store.load("g1") == tx
    assert await store.kv_put("c", "k", "v", 0)
    await store.close()


def test_the_schema_is_numbered():
    assert sorted(migrations()) == list(range(1, len(migrations()) + 1))


@pytest.mark.gen_test
async def test_an_upgrade_waits_for_another_one(mysql_store, mariadb, monkeypatch):
    monkeypatch.setattr("dtm.core.store.mysql_schema.LOCK_SECONDS", 1)
    with contextlib.closing(mariadb.connect()) as other:
        other.cursor().execute("SELECT GET_LOCK('dtm_schema', 0)")
        with pytest.raises(StartupError, match="another node has been changing its schema"):
            await upgrade(mysql_store.address, 5.0)
    assert await upgrade(mysql_store.address, 5.0) == (max(migrations()), max(migrations()))


# TLS


@pytest.mark.gen_test
async def test_tls(mysql_store, mariadb, tmp_path):
    ciphers = "SELECT VARIABLE_VALUE <> '' FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'SSL_CIPHER'"
    assert (await mysql_store._reads.run(ciphers, 5)).rows == ((0,),)
    store = MysqlStore(mariadb.url(database_of(tmp_path), ssl_ca=str(mariadb.certificate)))
    await store.open()
    assert (await store._reads.run(ciphers, 5)).rows == ((1,),)
    tx = await store.insert(owned(store, "g1", custom_data="x" * 300_000))
    assert await store.load("g1") == tx
    await store.close()


@pytest.mark.parametrize("tls", [False, True])
def test_the_loop_that_dtm_serve_runs_on(mariadb, tmp_path, tls):
    async def story():
        parameters = {"ssl_ca": str(mariadb.certificate)} if tls else {}
        store = MysqlStore(mariadb.url(database_of(tmp_path), **parameters))
        await store.open()
        rows = await asyncio.gather(*(store.insert(owned(store, f"g{i}", custom_data="x" * 9999)) for i in range(100)))
        assert await asyncio.gather(*(store.load(tx.gid) for tx in rows)) == rows
        await store.close()

    uvloop.run(story())


@pytest.mark.gen_test
async def test_a_server_that_is_not_trusted(mariadb, tmp_path):
    make_certificate(tmp_path / "other.pem")
    for parameters in ({"ssl": "true"}, {"ssl_ca": str(tmp_path / "other.pem")}):
        assert "CERTIFICATE_VERIFY_FAILED" in await refusal(mariadb.url("dtm_x", **parameters))
    url = mariadb.url("dtm_x", ssl_ca=str(mariadb.certificate)).replace("127.0.0.1", "localhost")
    assert "Hostname mismatch" in await refusal(url)


@contextlib.asynccontextmanager
async def impostor(plugin, capabilities=0x81FFF7FF & ~0x800, switch_to=None):
    """A server that greets with this authentication; yields its port and what it was told."""
    heard, tasks = bytearray(), []

    async def serve(reader, writer):
        tasks.append(asyncio.current_task())
        low, high = capabilities & 0xFFFF, capabilities >> 16
        payload = b"\x0a8.0.0\0" + struct.pack("<I", 1) + b"12345678\0" + struct.pack("<HBHHB", low, 45, 2, high, 21)
        payload += b"\0" * 10 + b"123456789012\0" + plugin + b"\0"
        writer.write(len(payload).to_bytes(3, "little") + b"\0" + payload)
        heard.extend(await reader.read(4096))
        if switch_to:
            payload = b"\xfe" + switch_to + b"\0" + b"x" * 20 + b"\0"
            writer.write(len(payload).to_bytes(3, "little") + b"\2" + payload)
            heard.extend(await reader.read(4096))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], heard
        await asyncio.gather(*tasks)


@pytest.mark.gen_test
async def test_nobody_hears_the_password(mariadb):
    async def told(port, **parameters):
        return await refusal(mariadb.url("dtm_x", **parameters).replace(str(mariadb.port), str(port)))

    async with impostor(b"mysql_native_password") as (port, heard):
        assert "offers no TLS" in await told(port, ssl_ca=str(mariadb.certificate))
        assert heard == b""
    async with impostor(b"mysql_clear_password") as (port, heard):
        assert "in clear text" in await told(port)
        assert heard == b""
    async with impostor(b"mysql_native_password", switch_to=b"mysql_clear_password") as (port, heard):
        assert "in clear text" in await told(port)
        assert PASSWORD.encode() not in heard


# URLs


def test_the_parts_of_a_url():
    address = parse_address("mysql://me%40x:a%2Fb@[::1]/dtm")
    assert (address.host, address.port, address.user, address.password) == ("::1", 3306, "me@x", "a/b")
    assert (str(address), address.tls) == ("mysql://[::1]:3306/dtm", None)
    assert str(parse_address("mysql://me@db:3307/dtm?ssl=false")) == "mysql://db:3307/dtm"
    assert parse_address("mysql://me:geheim@db/dtm?ssl=true").tls.check_hostname
    assert "geheim" not in repr(parse_address("mysql://me:geheim@db/dtm"))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://", "it has no user, no host, no database"),
        ("mysql://db", "it has no user, no database"),
        ("mysql://db/dtm", "it has no user"),
        ("mysql://u:geheim@db", "it has no database"),
        ("mysql://u:geheim@db/", "it has no database"),
        ("mysql://u:geheim@/dtm", "it has no host"),
        ("mysql://u:geheim@db/a/b", "its database is to be named"),
        ("mysql://u:geheim@db/a`b", "its database is to be named"),
        ("mysql://u:geheim@db:x/dtm", "its host or port"),
        ("mysql://u:geheim@db:99999/dtm", "its host or port"),
        ("mysql://u:geheim@[db/dtm", "its host or port"),
        ("mysql://u:ge#heim@db/dtm", "a # in it is written %23"),
        ("mysql://u:geheim@db/dtm?geheim", "what follows its ?"),
        ("mysql://u:geheim@db/dtm?ssl=geheim", "parameters are ssl, ssl_ca, ssl_cert, ssl_key"),
        ("mysql://u:geheim@db/dtm?password=geheim", "parameters are ssl"),
        ("mysql://u:geheim@db/dtm?ssl_ca=/no/such/file", "cannot read the TLS files"),
    ],
)
def test_a_strange_url_is_refused_with_its_reason_without_repeating_it(url, reason):
    with pytest.raises(StartupError, match=r"^store: ") as caught:
        MysqlStore(url)
    assert reason in str(caught.value)
    assert not re.search("geheim|heim@", str(caught.value))


@pytest.mark.gen_test
async def test_the_tests_user_has_no_power_over_the_server(mysql_store, mariadb):
    with pytest.raises(pymysql.err.OperationalError, match="to database"):
        pymysql.connect(host="127.0.0.1", port=mariadb.port, user=USER, password=PASSWORD.encode(), database="mysql")
