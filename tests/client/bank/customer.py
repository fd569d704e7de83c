"""A customer of the bank who uses the SDK, as it is; what it says to the coordinators is written down below it."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress

import httpx
import pytest

from dtm.client import Client, Conflict, Failure, InvalidRequest, Ongoing, ParticipantError
from dtm.client.flows import API
from tests.client.bank.books import TABLE
from tests.client.bank.desk import ServiceBank
from tests.support.bank import LOCAL
from tests.support.coordinator import Coordinator
from tests.support.history import Leg, Recorder, Transfer, kind_of

TIMEOUT = 10
PATIENCE = 500
"""Tries of one request: the nemesis ends before they do."""

ENDED_OTHERWISE = (Failure, Ongoing, Conflict, ParticipantError)
"""What may come of a transfer that goes wrong, or goes on."""


class Silence(Exception):
    """The customer says nothing any more: it died, or the run is over."""


class Customer:
    """Carries transfers out, each with a client of its own that knows all nodes."""

    def __init__(
        self,
        nodes: Mapping[str, Coordinator],
        banks: Sequence[ServiceBank],
        recorder: Recorder,
        rng: random.Random,
        timeout_to_fail: int,
    ) -> None:
        self._nodes = nodes
        self._banks = banks
        self._recorder = recorder
        self._rng = rng
        self._timeout_to_fail = timeout_to_fail
        self._over = threading.Event()
        self._wire = httpx.HTTPTransport(verify=False, limits=httpx.Limits(max_connections=200))

    def give_up(self) -> None:
        """Whoever still asks stops asking: the run is over, or has failed."""
        self._over.set()
        self._wire.close()

    def carry_out(self, transfer: Transfer) -> None:
        """Until this customer knows that it is stored how it is to end, or dies as its quirk says."""
        http = httpx.Client(transport=Written(self._wire, self, transfer.quirk == "dies"), trust_env=False)
        urls = [node.url for node in self._nodes.values()]
        self._rng.shuffle(urls)
        client = Client(urls, timeout=TIMEOUT, tries=PATIENCE, http=http)
        with suppress(Silence, *ENDED_OTHERWISE):
            {"tcc": self._tcc, "msg": self._msg}.get(transfer.mode, self._saga)(client, transfer)

    def _saga(self, client: Client, transfer: Transfer) -> None:
        faulty = {"retry_limit": -1} if transfer.quirk == "faulty" else {}
        together = transfer.mode == "concurrent"
        saga = client.saga(transfer.gid, concurrent=together, wait_result=transfer.wait, **faulty)
        last = len(transfer.legs) - 1
        for number, leg in enumerate(transfer.legs):
            before = range(last) if together and number == last else ()
            saga.step(self._url(leg), self._url(leg), _order(leg), after=before)
        if faulty:
            with pytest.raises(InvalidRequest, match="retry_limit"):
                saga.submit()
            return
        with suppress(*ENDED_OTHERWISE):
            saga.submit()
        if transfer.quirk == "fickle":
            client.abort(transfer.gid, "the customer thought better of it")

    def _tcc(self, client: Client, transfer: Transfer) -> None:
        with client.tcc(transfer.gid, timeout_to_fail=self._timeout_to_fail, wait_result=transfer.wait) as tcc:
            for leg in transfer.legs:
                tcc.call_branch(*[self._url(leg)] * 3, _order(leg))

    def _msg(self, client: Client, transfer: Transfer) -> None:
        local, *others = transfer.legs
        bank = self._banks[local.bank]
        msg = client.msg(transfer.gid, timeout_to_fail=self._timeout_to_fail, wait_result=transfer.wait)
        for leg in others:
            msg.step(self._url(leg), _order(leg))

        def work(barrier) -> None:
            with closing(bank.books.connect()) as connection:
                barrier.call(connection, lambda connection: bank.books.move(connection, barrier, _order(local)))

        msg.do_and_submit(bank.url(LOCAL), work, table=TABLE)

    def _url(self, leg: Leg) -> str:
        return self._banks[leg.bank].url("move")

    def heard(self, kind: str, said: tuple[str, str, str], status: int = 0, reply: object = None) -> None:
        """Write down what came of a request: `said` is its gid, its verb, and the node. Silence: the run is over."""
        self._recorder.event(kind, *said, status, reply)
        if self._over.is_set():
            raise Silence

    def node_at(self, url: httpx.URL) -> str:
        """The name of a node."""
        return next((name for name, node in self._nodes.items() if node.port == url.port), str(url))


class Written(httpx.BaseTransport):
    """Writes down what passes to coordinators. `dies`: at the moment when it would say how a transaction ends."""

    def __init__(self, wire: httpx.BaseTransport, customer: Customer, dies: bool) -> None:
        self._wire = wire
        self._customer = customer
        self._dies = dies

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if not path.startswith(API) or request.method != "POST":
            return self._wire.handle_request(request)
        verb = path.removeprefix(f"{API}/")
        if self._dies and verb in ("submit", "abort"):
            raise Silence
        said = (json.loads(request.content)["gid"], verb, self._customer.node_at(request.url))
        self._customer.heard("invoke", said)
        try:
            response = self._wire.handle_request(request)
            response.read()
        except httpx.TransportError as error:
            self._customer.heard("info", said, 0, repr(error))
            raise
        status = response.status_code
        self._customer.heard(kind_of(status), said, status, response.json())
        return response


def _order(leg: Leg) -> dict[str, object]:
    return {"account": leg.account, "amount": leg.change}
