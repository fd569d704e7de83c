"""Participants in every framework: what they answer to a coordinator's calls, and what they do, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest

from dtm.client import new_gid
from dtm.client.web import participant
from tests.client.barrier.kinds import PLAIN, Kind, Places
from tests.client.barrier.services import SERVICES

ROUNDS = 100


@dataclass
class Service:
    """A participant that runs."""

    http: httpx.Client
    kind: Kind
    framework: str

    def call(self, gid: str, op: str, then: str = "") -> httpx.Response:
        """A coordinator's call."""
        query = {"branch_id": "01", "gid": gid, "op": op, "trans_type": "saga", "branch_type": op}
        return self.http.post("/pay", params=query, content=then)


@pytest.fixture(scope="module", params=list(SERVICES))
def service(request: pytest.FixtureRequest, places: Places) -> Iterator[Service]:
    """Each of them."""
    serve, name = SERVICES[request.param]
    (kind,) = [kind for kind in PLAIN if kind.name == name]
    kind.places = places
    anew = httpx.Limits(max_keepalive_connections=0)  # after an error some servers close a connection that was kept
    with serve(kind) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, limits=anew) as http:
        yield Service(http, kind, request.param)


def test_a_call_that_is_repeated_is_done_once(service: Service) -> None:
    gid = new_gid()
    assert [service.call(gid, "action").status_code for _ in range(3)] == [200] * 3
    assert [service.call(gid, "compensate").status_code for _ in range(2)] == [200] * 2
    assert service.kind.ops(gid) == ["action", "compensate"]


def test_an_undo_that_comes_first_is_all_there_is(service: Service) -> None:
    gid = new_gid()
    assert [service.call(gid, op).status_code for op in ("compensate", "action", "compensate")] == [200] * 3
    assert service.kind.ops(gid) == []
    assert len(service.kind.barrier(gid)) == 2


@pytest.mark.parametrize(("then", "status", "result"), [("refuse", 409, "FAILURE"), ("later", 425, "ONGOING")])
def test_what_is_raised_is_the_answer(service: Service, then: str, status: int, result: str) -> None:
    gid = new_gid()
    reply = service.call(gid, "action", then)
    assert (reply.status_code, reply.json()["dtm_result"]) == (status, result)
    if status == 409:
        assert reply.json()["message"].startswith("no such account")
        assert "ONGOING" not in reply.text, "which some servers would look for first"
    assert (service.kind.ops(gid), service.kind.barrier(gid)) == ([], [])
    assert service.call(gid, "action").status_code == 200
    assert service.kind.ops(gid) == ["action"]


@pytest.mark.parametrize("then", ["break", "crash"])
def test_any_other_error_is_neither_yes_nor_no(service: Service, then: str) -> None:
    gid = new_gid()
    reply = service.call(gid, "action", then)
    assert reply.status_code == 500
    assert not any(word in reply.text for word in ("FAILURE", "ONGOING", "SUCCESS"))
    assert (service.kind.ops(gid), service.kind.barrier(gid)) == ([], [])
    assert service.call(gid, "action").status_code == 200


def test_a_call_that_names_no_branch_is_an_error(service: Service) -> None:
    assert service.http.post("/pay?gid=g").status_code == 500
    assert service.http.post("/pay?trans_type=saga&branch_id=01&op=action&gid=%FF").status_code == 500


def test_two_calls_at_once(service: Service) -> None:
    """Errors are allowed, for a coordinator calls again; but in the end it was done once, or never."""
    gid = new_gid()
    with ThreadPoolExecutor(2) as threads:
        for number in range(ROUNDS):
            each, second = f"{gid}-{number}", ("action", "compensate")[number % 2]
            replies = list(threads.map(lambda op, each=each: service.call(each, op), ("action", second)))
            for op, reply in zip(("action", second), replies, strict=True):
                assert reply.status_code in (200, 500)
                assert reply.status_code == 200 or service.call(each, op).status_code == 200
    found: dict[str, list[str]] = {}
    for each, op in service.kind.rows(f"SELECT gid, op FROM ledger WHERE gid LIKE '{gid}-%' ORDER BY op"):
        found.setdefault(each, []).append(op)
    assert [found.get(f"{gid}-{number}") for number in range(0, ROUNDS, 2)] == [["action"]] * (ROUNDS // 2)
    assert all(found.get(f"{gid}-{n}", []) in ([], ["action", "compensate"]) for n in range(1, ROUNDS, 2))


def test_what_is_no_application_is_refused() -> None:
    with pytest.raises(TypeError, match="expected an application of FastAPI"):
        participant(object())
