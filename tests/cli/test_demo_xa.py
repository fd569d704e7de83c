"""`dtm demo xa` and `xa-rollback` on a real MariaDB, what refuses them, and what a branch does when something fails."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import aiomysql
import pytest

from dtm.demo.ledger import Call, Refused
from dtm.demo.scenarios import PAYLOAD
from dtm.demo.stage import raised
from dtm.demo.xa_bank import in_databases, server_address
from dtm.demo.xa_books import UNKNOWN_XID, XaBooks
from tests.support.client import Client
from tests.support.command import Ran
from tests.support.mariadb import QUOTED_PASSWORD, MariaDB, database_of
from tests.support.participants import Participants, Reply, Seen

ENDINGS = {
    "xa": (["-01", "-02"], [["100", "100", "70"], ["100", "100", "130"]]),
    "xa-rollback": (["-01"], [["100", "100", "100"], ["100", "100", "100"]]),
}
"""scenario -> the XA transactions that are prepared after phase 1, and the table of balances."""

XA = {"trans_type": "xa", "wait_result": True}


@pytest.fixture
def server(mariadb: MariaDB) -> Iterator[MariaDB]:
    """The server; nothing of the demo may be left on it."""
    yield mariadb
    assert mariadb.run("SHOW DATABASES LIKE 'dtm\\_demo\\_%'") == ()
    assert mariadb.run("XA RECOVER") == ()


@pytest.mark.parametrize("scenario", ENDINGS)
def test_a_scenario_ends_as_it_must(dtm: Callable[..., Ran], server: MariaDB, scenario: str) -> None:
    ran = dtm("demo", scenario, DTM_DEMO_DB=server.url(""))
    assert (ran.status, ran.err) == (0, "")
    gid = re.search(r"^gid +(\S+)$", ran.out, re.MULTILINE)[1]
    prepared, balances = ENDINGS[scenario]
    assert f"XA RECOVER: the server holds prepared: {', '.join(gid + end for end in prepared)}\n" in ran.out
    rows = [re.split(r" {2,}", line)[1:] for line in ran.out.splitlines() if re.match(r"bank [AB] {2,}", line)]
    assert rows == balances
    assert QUOTED_PASSWORD not in ran.out


def test_without_a_server_it_is_refused(dtm: Callable[..., Ran]) -> None:
    ran = dtm("demo", "xa")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == "dtm: xa needs --db mysql://USER:PASSWORD@HOST:3306/, a server for its two databases\n"


def test_a_scenario_without_databases_wants_no_server(dtm: Callable[..., Ran]) -> None:
    ran = dtm("demo", "saga", "--db", "mysql://root:secret@127.0.0.1:1/")
    assert (ran.status, ran.err) == (2, "dtm: --db: saga needs no database\n")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://127.0.0.1", "--db: expected mysql://USER:PASSWORD@HOST:3306/, "),
        ("mysql://me:secret@[::1/", "--db: "),
        ("mysql://me:secret@127.0.0.1:1/", "--db 127.0.0.1:1: Can't connect "),
        ("mysql://me:secret@127.0.0.1:{port}/", "--db 127.0.0.1:{port}: Access denied for user 'me'"),
        ("mysql://poor:secret@127.0.0.1:{port}/", "--db 127.0.0.1:{port}: Access denied for user 'poor'"),
    ],
)
def test_a_server_that_will_not_do_is_one_line(dtm: Callable[..., Ran], server: MariaDB, url: str, reason: str) -> None:
    server.run("CREATE USER IF NOT EXISTS 'poor'@'%' IDENTIFIED BY 'secret'")
    ran = dtm("demo", "xa", "--db", url.format(port=server.port))
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"dtm: {reason.format(port=server.port)}")
    assert ran.err.count("\n") == 1
    assert "secret" not in ran.err


async def test_a_branch_whose_prepare_fails_is_rolled_back_with_the_others(
    server: MariaDB, tmp_path: Path, participants: Participants
) -> None:
    address = server_address(server.url(""))
    async with in_databases(address, 100, b_accepts=True) as banks, raised(tmp_path, *banks) as stage:

        def registers_and_loses_its_connection(seen: Seen) -> Reply:
            for (thread,) in server.run(
                "SELECT id FROM information_schema.processlist WHERE db LIKE 'dtm\\_demo\\_b\\_%'"
            ):
                server.run(f"KILL {thread}")
            status, body = Client(stage.coordinator).post("registerBranch", json.loads(seen.body))
            return status, json.dumps(body)

        participants.answer("registerBranch", registers_and_loses_its_connection)
        await stage.new_gid()
        await stage.ask("prepare", XA)
        order = json.loads(PAYLOAD)
        for bank, coordinator in ((stage.a, f"{stage.coordinator}/api/dtmsvr"), (stage.b, participants.base)):
            where = {"dtm": coordinator, "phase2_url": f"{bank.url}/deposit"}
            await stage.call(f"{bank.url}/deposit", "xa", f"0{1 + (bank is stage.b)}", "action", order, **where)
        assert stage.answers == [200, 200, 500]
        assert await stage.a.prepared(stage.gid) == [f"{stage.gid}-01"]

        await stage.ask("abort", XA)
        reply = await stage.get("query", gid=stage.gid)
        assert reply["transaction"]["status"] == "failed"
        assert [b["branch_id"] for b in reply["branches"] if (b["op"], b["status"]) == ("rollback", "succeed")] == [
            "01",
            "02",
        ]
        assert [await bank.balance() for bank in banks] == [(100, 0), (100, 0)]
        assert await stage.a.prepared(stage.gid) == []


async def test_a_branch_that_cannot_be_registered_prepares_nothing(server: MariaDB, tmp_path: Path) -> None:
    address = server_address(server.url(""))
    async with in_databases(address, 100, b_accepts=True) as banks, raised(tmp_path, *banks) as stage:
        stage.gid = "nobody-knows-it"
        url = f"{stage.a.url}/withdraw"
        where = {"dtm": f"{stage.coordinator}/api/dtmsvr", "phase2_url": url}
        await stage.call(url, "xa", "01", "action", json.loads(PAYLOAD), **where)
        assert stage.answers == [500]
        assert await stage.a.prepared(stage.gid) == []
        assert await stage.a.balance() == (100, 0)


async def test_what_is_left_prepared_is_rolled_back_in_the_end(server: MariaDB, tmp_path: Path) -> None:
    address = server_address(server.url(""))
    async with in_databases(address, 100, b_accepts=True) as banks, raised(tmp_path, *banks) as stage:
        await stage.new_gid()
        await stage.ask("prepare", XA)
        where = {"dtm": f"{stage.coordinator}/api/dtmsvr", "phase2_url": f"{stage.a.url}/withdraw"}
        await stage.call(f"{stage.a.url}/withdraw", "xa", "01", "action", json.loads(PAYLOAD), **where)
        assert await stage.a.prepared(stage.gid) == [f"{stage.gid}-01"]


# The books


@pytest.fixture
def books(server: MariaDB, tmp_path: Path, io_loop) -> Iterator[XaBooks]:
    """Books with 100 in them."""
    database = database_of(tmp_path)
    server.run(f"CREATE DATABASE `{database}`")
    address = server_address(server.url(""))
    books = XaBooks(type(address)(address.host, address.port, address.user, address.password, database))
    io_loop.run_sync(lambda: books.open(100))
    yield books
    io_loop.run_sync(books.close)
    server.run(f"DROP DATABASE `{database}`")


def call(gid: str, op: str) -> Call:
    return Call(gid, "01", op)


async def registered() -> None:
    """The coordinator has taken the branch."""


async def test_a_commit_may_come_twice(books: XaBooks) -> None:
    await books.prepare(call("g", "action"), -30, registered)
    assert await books.balance() == 100
    await books.commit(call("g", "commit"))
    await books.commit(call("g", "commit"))
    assert await books.balance() == 70
    assert await books.effects("g") == [("01", "action")]


async def test_a_commit_of_what_is_not_there_is_no_success(books: XaBooks) -> None:
    with pytest.raises(aiomysql.MySQLError, match=str(UNKNOWN_XID)):
        await books.commit(call("g", "commit"))


async def test_a_rollback_may_come_twice_and_bars_what_comes_after_it(books: XaBooks) -> None:
    await books.prepare(call("g", "action"), -30, registered)
    await books.rollback(call("g", "rollback"))
    await books.rollback(call("g", "rollback"))
    with pytest.raises(Refused, match="dealt with before"):
        await books.prepare(call("g", "action"), -30, registered)
    assert await books.balance() == 100
    assert await books.effects("g") == []


async def test_a_rollback_fails_while_phase_1_is_at_work(books: XaBooks) -> None:
    async def overtaken() -> None:
        with pytest.raises(aiomysql.MySQLError, match="Lock wait timeout"):
            await books.rollback(call("g", "rollback"))

    await books.prepare(call("g", "action"), -30, overtaken)
    await books.rollback(call("g", "rollback"))
    assert await books.prepared("g") == []


async def test_more_than_there_is_is_refused(books: XaBooks) -> None:
    with pytest.raises(Refused, match="insufficient balance"):
        await books.prepare(call("g", "action"), -101, registered)
    assert await books.prepared("g") == []
