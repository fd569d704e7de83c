"""Mistakes that are easily made with the SDK: each is told at once, and by its place."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from dtm.client import (
    AsyncClient,
    Barrier,
    Client,
    Conflict,
    Failure,
    InvalidRequest,
    Ongoing,
    OutcomeUnknown,
    ParticipantError,
    Unreachable,
    base,
)
from tests.client.middle import Middle
from tests.support.coordinator import Coordinator
from tests.support.participants import ERROR, ONGOING, Participants, failure

NOBODY = "http://127.0.0.1:1"
FORKS = 3
ROUNDS = 20


@dataclass
class Transfer:
    amount: int


@pytest.mark.parametrize(
    "url", ["", "http://", "http:///x", "http://host:99999", "http://[::1", "ftp://host", None, [], [NOBODY, None]]
)
def test_a_url_that_is_none(make_client: Any, url: Any) -> None:
    with pytest.raises(ValueError, match=r"expected (a url like http://127|at least one url)"):
        make_client(url)


def test_the_url_that_other_clients_are_told_will_do(make_client: Any, shared: Coordinator) -> None:
    for end in ("/", "/api/dtmsvr", "/api/dtmsvr/"):
        assert make_client(shared.url + end).new_gid()


@pytest.mark.parametrize("token", ["secret\n", "é", b"secret"])
def test_a_token_that_no_header_can_carry(make_client: Any, token: Any) -> None:
    with pytest.raises(ValueError, match="token: expected visible ASCII"):
        make_client(NOBODY, token=token)


def test_an_option_that_does_not_exist(client: Any) -> None:
    for make in (client.saga, client.msg, client.tcc):
        with pytest.raises(TypeError, match=r"no such option: \['wait_results'\]"):
            make(wait_results=True)


def test_an_option_that_is_not_json(client: Any) -> None:
    with pytest.raises(InvalidRequest, match="the request is not JSON: Object of type set"):
        client.saga(timeout_to_fail={1}).step("", "").submit()


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        ({"when": {1}}, "1} is of set: expected JSON, dataclasses or models"),
        (Transfer, "Transfer is a class: expected an instance"),
        ("\ud800", "surrogates not allowed"),
    ],
)
def test_a_payload_that_is_not_json(client: Any, payload: Any, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        client.saga().step("", "", payload)


def test_a_url_that_was_not_set(client: Any) -> None:
    saga = client.saga().step("", "")
    with pytest.raises(InvalidRequest, match="/steps/1/action: expected a url"):
        saga.step(None, "", after=[0])
    assert len(saga.body()["steps"]) == 1
    assert "custom_data" not in saga.body()
    with pytest.raises(InvalidRequest, match="/confirm: expected a url"), client.tcc() as tcc:
        tcc.call_branch("", None, "")
    assert client.wait(tcc.gid).status == "failed"


def test_a_gid_of_another_transaction(client: Any, middle: Middle, participants: Participants) -> None:
    participants.answer("Slow", ONGOING)
    gid = client.saga(retry_interval=60).step(participants.url("Slow"), "", 1).submit()
    told = Ongoing if middle.original else Conflict  # the original server has no `errors` in a 409
    with pytest.raises(told, match="exists with other payloads"):
        client.saga(gid, wait_result=True).step(participants.url("Slow"), "", 2).submit()
    client.abort(gid)


def test_a_tcc_before_and_after_its_time(client: Any, middle: Middle, participants: Participants) -> None:
    branch = [participants.url(name) for name in ("Try", "Yes", "No")]
    with pytest.raises(Conflict, match=f"{middle.url} does not know it"):
        client.tcc().call_branch(*branch, 1)
    with client.tcc(wait_result=True) as tcc:
        tcc.call_branch(*branch, 1)
    with pytest.raises(Conflict, match="it is succeed"):
        tcc.call_branch(*branch, 1)


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        (failure("no seat"), Failure, "refused: .*no seat"),
        (ONGOING, Ongoing, "is not ready yet"),
        (ERROR, ParticipantError, "answered 500: .*from user"),
        ((404, "<html>\n" + "x" * 1000), ParticipantError, "answered 404: <html> x{293}$"),
        ((409, '{"dtm_result": "FAILURE", "message": "no seat"}'), Failure, "refused: no seat$"),
    ],
)
def test_what_a_try_has_answered(client: Any, participants: Participants, answer: Any, error: Any, told: str) -> None:
    participants.answer("Try", answer)
    with pytest.raises(error, match=participants.url("Try") + " " + told), client.tcc() as tcc:
        tcc.call_branch(participants.url("Try"), participants.url("Yes"), participants.url("No"), 1)


@pytest.mark.parametrize("page", ["null", "<html>", '{"hello": 1}'])
def test_a_server_that_is_no_coordinator(make_client: Any, participants: Participants, page: str) -> None:
    url = participants.url("page")
    for path in ("submit", "query", "newGid"):
        participants.answer(f"page/api/dtmsvr/{path}", (200, page))
    client = make_client(url, tries=1)
    with pytest.raises(OutcomeUnknown, match=f"{url}.* 200"):
        client.saga().step("", "").submit()
    with pytest.raises(Unreachable, match=f"{url}.* 200"):
        client.query("g")
    with pytest.raises(Unreachable, match=f"{url}.* 200"):
        client.new_gid()


def test_nobody_who_listens_is_named(make_client: Any) -> None:
    other = "http://127.0.0.1:2"
    with pytest.raises(Unreachable, match=f"in 3 tries: {NOBODY}: Connect.*; {other}: Connect"):
        make_client([NOBODY, other], tries=3).query("g")


def test_a_coordinator_that_cannot_even_be_connected_to_is_left_soon(
    make_client: Any, shared: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "CONNECT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = make_client([f"https://127.0.0.1:{silent.getsockname()[1]}", shared.url], timeout=600)
        assert client.new_gid()


def test_a_wait_is_over_in_time(make_client: Any, client: Any, participants: Participants) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unreachable, match="in 1 tries"):
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        make_client(url, timeout=60).wait("g", timeout=0.1)  # neither all the tries nor as long as one may take
    participants.answer("Slow", ONGOING)
    gid = client.saga(retry_interval=60).step(participants.url("Slow"), "", 1).submit()
    with pytest.raises(Ongoing, match="within 0 s: it is submitted"):
        client.wait(gid, timeout=0)
    client.abort(gid)


def test_a_local_transaction_that_commits_nothing_delivers_nothing(client: Any, participants: Participants) -> None:
    async def nothing(barrier: Barrier) -> None:
        """Forgets its barrier."""

    async def swallows(barrier: Barrier) -> None:
        with sqlite3.connect(":memory:") as connection:
            try:
                barrier.call(connection, print)
            except sqlite3.OperationalError:
                """No such table."""

    for work in (nothing, swallows):
        participants.answer("Asked", failure("it is not there"))
        message = client.msg().step(participants.url("Mail"), 1)
        with pytest.raises(RuntimeError, match="committed nothing by barrier"):
            message.do_and_submit(participants.url("Asked"), work if type(client) is not Client else blocking(work))
        assert client.wait(message.gid).status == "failed"


def test_a_local_transaction_of_the_wrong_kind_delivers_nothing(client: Any, participants: Participants) -> None:
    async def later(barrier: Barrier) -> None:
        """Never run by a client that blocks."""

    participants.answer("Asked", failure("it is not there"))
    message = client.msg().step(participants.url("Mail"), 1)
    told, work = ("a plain function", later) if type(client) is Client else ("an async function", repr)
    with pytest.raises(TypeError, match=f"work is.*expected {told}"):
        message.do_and_submit(participants.url("Asked"), work)
    assert client.wait(message.gid).status == "failed"


def blocking(work: Any) -> Any:
    """The same as a plain function."""
    return lambda barrier: asyncio.run(work(barrier))


def test_an_asynchronous_client_in_another_event_loop(shared: Coordinator) -> None:
    closing = httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0))
    client = AsyncClient(shared.url, http=closing)
    asyncio.run(client.new_gid())
    with pytest.raises(RuntimeError, match="another event loop"):
        asyncio.run(client.new_gid())


def test_processes_that_forked_do_not_hear_what_others_are_told(shared: Coordinator) -> None:
    with Client(shared.url) as client:
        client.new_gid()
        children = [fork(client, name) for name in range(FORKS)]
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * FORKS
        assert client.new_gid()


def fork(client: Client, name: int) -> int:
    """A child that looks whether answers are for what it asks; 0 is its exit status if they are."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        gids = [
            client.saga(f"{client.new_gid()}-{name}", wait_result=True).step("", "").submit() for _ in range(ROUNDS)
        ]
        shown = [client.query(gid) for gid in gids]
        status = 0 if [each and each.raw["gid"] for each in shown] == gids else 2
    finally:
        os._exit(status)
