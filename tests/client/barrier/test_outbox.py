"""do_and_submit: a message is delivered if, and only if, the local transaction is committed. With both clients."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from dtm.client import Barrier, Duplicated, Failure, InvalidRequest, Unreachable
from dtm.client.barrier import create_table
from tests.client.middle import Middle
from tests.support.participants import ERROR, OK, ONGOING, Participants, Reply, Seen, failure


@dataclass
class Shop:
    """A service with a database: its orders, and its answer to check-backs."""

    file: Path
    client: Any
    participants: Participants

    def asked(self, seen: Seen) -> Reply:
        """The answer to a check-back; the query is what a coordinator or a client has sent."""
        with closing(sqlite3.connect(self.file)) as connection:
            try:
                Barrier.from_query(seen.query).query_prepared(connection)
            except Failure as error:
                return failure(str(error))
        return OK

    def orders(self) -> list[str]:
        with closing(sqlite3.connect(self.file)) as connection:
            return [gid for (gid,) in connection.execute("SELECT gid FROM orders")]

    def order(
        self,
        message: Any,
        *,
        before: Exception | None = None,
        after: Exception | None = None,
        wait: bool = False,
        asked_at: str = "Asked",
    ) -> Any:
        """do_and_submit of an order, with errors in the local transaction or after it; `wait`s there for the end."""
        statement = ("INSERT INTO orders VALUES (?)", (message.gid,))

        def work(barrier: Barrier) -> str:
            def business(connection: Any) -> str:
                connection.execute(*statement)
                return raised(before)

            with closing(sqlite3.connect(self.file)) as connection:
                barrier.call(connection, business)
            if wait:
                self.client.wait(message.gid)
            return raised(after)

        async def work_async(barrier: Barrier) -> str:
            async def business(connection: Any) -> str:
                await connection.execute(*statement)
                return raised(before)

            async with aiosqlite.connect(self.file) as connection:
                await barrier.call(connection, business)
            if wait:
                await self.client._target.wait(message.gid)
            return raised(after)

        blocking = type(self.client).__name__ == "Client"
        return message.do_and_submit(self.participants.url(asked_at), work if blocking else work_async)

    def message(self, **options: Any) -> Any:
        return self.client.msg(**options).step(self.participants.url("Mail"), {"order": 1})


def raised(error: Exception | None) -> str:
    """Raise it, if any."""
    if error:
        raise error
    return "ordered"


@pytest.fixture
def shop(client: Any, participants: Participants, tmp_path: Path) -> Shop:
    """A shop."""
    made = Shop(tmp_path / "shop.db", client, participants)
    with closing(sqlite3.connect(made.file)) as connection:
        create_table(connection)
        connection.execute("CREATE TABLE orders (gid)")
    participants.answer("Asked", *[made.asked] * 20)
    return made


def test_a_committed_order_is_mailed(shop: Shop) -> None:
    message = shop.message(wait_result=True)
    assert shop.order(message) == "ordered"
    assert shop.orders() == [message.gid]
    assert shop.participants.of(message.gid) == ["action 01 POST Mail"]


@pytest.mark.parametrize("error", [Failure("sold out"), ValueError("a bug")])
def test_an_order_that_is_rolled_back_is_not(shop: Shop, error: Exception) -> None:
    message = shop.message()
    with pytest.raises(type(error), match=str(error)):
        shop.order(message, before=error)
    ended = shop.client.wait(message.gid)
    assert (ended.status, ended.reason, shop.orders()) == ("failed", str(error), [])
    asked = [] if isinstance(error, Failure) else ["msg 00 GET Asked"]
    assert shop.participants.of(message.gid) == asked, "what was refused need not be asked for"


@pytest.mark.parametrize("error", [Failure("sold out"), ValueError("a bug")])
def test_an_error_after_the_commit_does_not_take_it_back(shop: Shop, error: Exception) -> None:
    message = shop.message(branch_headers={"x-tenant": "blue"})
    with pytest.raises(type(error), match=str(error)):
        shop.order(message, after=error)
    assert shop.client.wait(message.gid).status == "succeed"
    assert shop.orders() == [message.gid]
    (asked, mailed) = shop.participants.seen(message.gid)
    assert (str(asked), str(mailed)) == ("msg 00 GET Asked", "action 01 POST Mail")
    assert asked.headers["x-tenant"] == "blue"
    assert asked.query["dtm"].endswith("/api/dtmsvr")


@pytest.mark.parametrize("answer", [ERROR, ONGOING])
def test_what_nobody_can_tell_is_left_to_the_coordinator(shop: Shop, answer: Reply) -> None:
    shop.participants.answer("Later", answer, shop.asked)
    message = shop.message(timeout_to_fail=1)
    with pytest.raises(ValueError, match="a bug") as caught:
        shop.order(message, after=ValueError("a bug"), asked_at="Later")
    assert "left to the coordinator" in caught.value.__notes__[0]
    assert shop.client.wait(message.gid).status == "succeed"


def test_a_check_back_that_came_first_has_the_say(shop: Shop) -> None:
    message = shop.message()
    with closing(sqlite3.connect(shop.file)) as connection, pytest.raises(Failure):
        Barrier("msg", message.gid, "00", "msg").query_prepared(connection)
    with pytest.raises(Duplicated):
        shop.order(message)
    assert (shop.orders(), shop.client.wait(message.gid).status) == ([], "failed")


def test_a_submit_that_finds_all_done_is_a_success(shop: Shop) -> None:
    message = shop.message(timeout_to_fail=1)
    assert shop.order(message, wait=True) == "ordered"
    assert shop.participants.of(message.gid) == ["msg 00 GET Asked", "action 01 POST Mail"]


def test_a_submit_without_an_answer_says_what_is_committed(shop: Shop, middle: Middle, make_client: Any) -> None:
    shop.client = make_client(middle.url, tries=1)
    message = shop.message(timeout_to_fail=1)
    middle.troubles.extend(["fine", "away"])
    with pytest.raises(Unreachable) as caught:
        shop.order(message)
    assert "is committed" in caught.value.__notes__[0]
    assert shop.client.wait(message.gid).status == "succeed"


def test_nothing_is_done_for_a_message_that_cannot_be_prepared(shop: Shop, middle: Middle, make_client: Any) -> None:
    shop.client = make_client(middle.url, tries=1)
    middle.troubles.append("away")
    with pytest.raises(Unreachable):
        shop.order(shop.message())
    with pytest.raises(InvalidRequest):
        shop.order(shop.client.msg("g" * 129))
    assert shop.orders() == []
