"""PyPI's `dtmcli` 1.7.7.0, unchanged, as client and participant, against a real coordinator on SQLite and on MariaDB.

Its concurrent saga is left out: `build_custom_options` reads attributes that nothing sets, and raises AttributeError
before anything is sent.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from dtmcli import msg, saga, tcc, utils

from tests.interop.bank import Bank
from tests.support.coordinator import Coordinator
from tests.support.waiting import until

PAY, RECEIVE = {"account": "a", "amount": -30}, {"account": "b", "amount": 30}
TOO_MUCH = {"account": "b", "amount": -500}

BEFORE = {"a": (100, 0), "b": (100, 0)}
MOVED = {"a": (70, 0), "b": (130, 0)}


@pytest.fixture
def gid(bank: Bank) -> str:
    return utils.gen_gid(bank.coordinator)


def two_steps(bank: Bank, gid: str, first: dict[str, Any], second: dict[str, Any]) -> saga.Saga:
    move = bank.url("Move")
    return saga.Saga(bank.coordinator, gid).add(first, move, move).add(second, move, move)


def test_a_saga_succeeds(server: Coordinator, bank: Bank, gid: str) -> None:
    two_steps(bank, gid, PAY, RECEIVE).submit()
    assert server.client.until_final(gid) == "succeed"
    assert bank.balances() == MOVED
    assert bank.barrier_rows(gid) == [("01", "action", "action"), ("02", "action", "action")]


def test_a_refused_saga_is_rolled_back(server: Coordinator, bank: Bank, gid: str) -> None:
    two_steps(bank, gid, PAY, TOO_MUCH).submit()
    assert server.client.until_final(gid) == "failed"
    assert bank.balances() == BEFORE
    assert bank.barrier_rows(gid) == [
        ("01", "action", "action"),
        ("02", "action", "compensate"),  # the refused action left no row: there is nothing to compensate
        ("02", "compensate", "compensate"),
        ("01", "compensate", "compensate"),
    ]


def test_a_saga_that_waits_hears_of_its_rollback(bank: Bank, gid: str) -> None:
    refused = two_steps(bank, gid, PAY, TOO_MUCH)
    refused.trans_base.wait_result = True
    with pytest.raises(utils.DTMFailureError):
        refused.submit()
    assert bank.balances() == BEFORE


@pytest.mark.parametrize("second", [RECEIVE, TOO_MUCH], ids=["succeeds", "fails"])
def test_calls_that_are_repeated_have_their_effect_once(
    server: Coordinator, bank: Bank, gid: str, second: dict[str, Any]
) -> None:
    bank.lost_replies = ["action", "compensate"]
    two_steps(bank, gid, PAY, second).submit()
    server.client.until_final(gid)
    assert bank.balances() == (MOVED if second is RECEIVE else BEFORE)
    assert bank.of(gid)[:2] == ["action 01 POST Move"] * 2


def test_a_repeated_submit_is_the_same_saga_until_its_end(server: Coordinator, bank: Bank, gid: str) -> None:
    bank.lost_replies = ["action"]
    submitted = two_steps(bank, gid, PAY, RECEIVE)
    submitted.trans_base.retry_interval = 60
    submitted.submit()
    until(lambda: server.client.query(gid)["branches"][1].get("attempt_count") == 1)
    submitted.submit()  # which is a request to try again now
    assert server.client.until_final(gid) == "succeed"
    with pytest.raises(utils.DTMFailureError):
        submitted.submit()
    assert bank.balances() == MOVED


def test_a_tcc_is_confirmed(server: Coordinator, bank: Bank, gid: str) -> None:
    frozen = {}

    def both(transaction: tcc.Tcc) -> None:
        for order in (PAY, RECEIVE):
            transaction.call_branch(order, *[bank.url("Move")] * 3)
        frozen.update(bank.balances())

    assert tcc.tcc_global_transaction(bank.coordinator, gid, both) == gid
    assert server.client.until_final(gid) == "succeed"
    assert frozen == {"a": (100, 30), "b": (100, 0)}
    assert bank.balances() == MOVED
    assert bank.of(gid) == ["try 01 POST Move", "try 02 POST Move", "confirm 02 POST Move", "confirm 01 POST Move"]


def test_a_tcc_whose_try_is_refused_is_cancelled(server: Coordinator, bank: Bank, gid: str) -> None:
    def both(transaction: tcc.Tcc) -> None:
        for order in (PAY, TOO_MUCH):
            transaction.call_branch(order, *[bank.url("Move")] * 3)

    assert tcc.tcc_global_transaction(bank.coordinator, gid, both) == ""
    assert server.client.until_final(gid) == "failed"
    assert bank.balances() == BEFORE
    assert ("02", "try", "cancel") in bank.barrier_rows(gid)


def test_a_tcc_is_cancelled_when_its_function_raises(server: Coordinator, bank: Bank, gid: str) -> None:
    def one(transaction: tcc.Tcc) -> None:
        transaction.call_branch(PAY, *[bank.url("Move")] * 3)
        raise RuntimeError("the application has thought better of it")

    assert tcc.tcc_global_transaction(bank.coordinator, gid, one) == ""
    assert server.client.until_final(gid) == "failed"
    assert bank.balances() == BEFORE


def test_a_tcc_in_a_tcc(server: Coordinator, bank: Bank, gid: str) -> None:
    def both(transaction: tcc.Tcc) -> None:
        transaction.call_branch(PAY, *[bank.url("Move")] * 3)
        transaction.call_branch(RECEIVE, bank.url("Nested"), bank.url("Nested"), bank.url("Nested"))

    assert tcc.tcc_global_transaction(bank.coordinator, gid, both) == gid
    assert server.client.until_final(gid) == "succeed"
    assert bank.balances() == MOVED
    assert bank.of(gid) == [
        *("try 01 POST Move", "try 02 POST Nested", "try 0201 POST Move"),
        *("confirm 0201 POST Move", "confirm 02 POST Nested", "confirm 01 POST Move"),
    ]


@pytest.mark.parametrize("concurrent", [False, True])
def test_a_message_is_prepared_and_submitted(server: Coordinator, bank: Bank, gid: str, concurrent: bool) -> None:
    message = msg.Msg(bank.coordinator, gid).add(PAY, bank.url("Move")).add(RECEIVE, bank.url("Move"))
    message.trans_base.concurrent = concurrent
    message.prepare(bank.url("Committed"))
    assert server.client.status(gid) == "prepared"
    message.submit()
    assert server.client.until_final(gid) == "succeed"
    assert bank.balances() == MOVED


def test_a_message_that_waits_for_its_delivery(bank: Bank, gid: str) -> None:
    msg.Msg(bank.coordinator, gid).add(RECEIVE, bank.url("Move")).set_wait_result().submit()
    assert bank.balances()["b"] == (130, 0)


def test_a_message_follows_from_a_local_transaction(server: Coordinator, bank: Bank, gid: str) -> None:
    message = msg.Msg(bank.coordinator, gid).add(RECEIVE, bank.url("Move"))
    with bank.cursor() as cursor:
        message.do_and_submit_db(bank.url("Committed"), cursor, bank.business("msg", PAY))
    assert server.client.until_final(gid) == "succeed"
    assert bank.balances() == MOVED
    assert bank.barrier_rows(gid) == [("00", "msg", "msg"), ("01", "action", "action")]


@pytest.mark.parametrize(
    "fault", [utils.DTMFailureError("not covered"), RuntimeError("the database is away")], ids=repr
)
def test_nothing_follows_from_a_local_transaction_that_failed(
    server: Coordinator, bank: Bank, gid: str, fault: Exception
) -> None:
    def raising(cursor: Any) -> None:
        bank.business("msg", PAY)(cursor)
        raise fault

    message = msg.Msg(bank.coordinator, gid).add(RECEIVE, bank.url("Move"))
    with bank.cursor() as cursor, pytest.raises(type(fault)):
        message.do_and_submit_db(bank.url("Committed"), cursor, raising)
    assert server.client.status(gid) == "failed"
    assert bank.balances() == BEFORE
    assert [call.op for call in bank.seen(gid)] == ([] if isinstance(fault, utils.DTMFailureError) else ["msg"])


def test_a_sender_that_died_after_its_commit_is_asked(server: Coordinator, bank: Bank, gid: str) -> None:
    message = msg.Msg(bank.coordinator, gid).add(RECEIVE, bank.url("Move"))
    message.trans_base.timeout_to_fail = 3  # by then the local transaction has been committed
    message.submit = lambda: None  # it never comes to that
    with bank.cursor() as cursor:
        message.do_and_submit_db(bank.url("Committed"), cursor, bank.business("msg", PAY))
    assert server.client.until_final(gid) == "succeed"
    assert bank.of(gid) == ["msg 00 GET Committed", "action 01 POST Move"]
    assert bank.balances() == MOVED


def test_a_sender_that_is_asked_before_its_commit_cannot_commit_any_more(
    server: Coordinator, bank: Bank, gid: str
) -> None:
    message = msg.Msg(bank.coordinator, gid).add(RECEIVE, bank.url("Move"))
    message.trans_base.timeout_to_fail = 1

    def slow(guard: Any) -> None:
        assert server.client.until_final(gid) == "failed"
        with bank.cursor() as cursor:
            guard.call(cursor, bank.business("msg", PAY))

    with pytest.raises(utils.DTMFailureError):  # its barrier says no, and it aborts a message that has failed already
        message.do_and_submit(bank.url("Committed"), slow)
    assert bank.barrier_rows(gid) == [("00", "msg", "rollback")]
    assert bank.balances() == BEFORE


def test_what_the_client_sends_is_what_participants_get(server: Coordinator, bank: Bank, gid: str) -> None:
    two_steps(bank, gid, PAY, RECEIVE).submit()
    server.client.until_final(gid)
    assert [json.loads(call.body) for call in bank.seen(gid)] == [PAY, RECEIVE]
