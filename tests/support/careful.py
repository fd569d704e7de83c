"""A careful client of several nodes: whatever it does not hear, it asks again with the same gid, until it knows."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Sequence
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from tests.support.bank import LOCAL, Bank
from tests.support.client import Client
from tests.support.history import Leg, Recorder, Transfer, kind_of

PAUSE = 0.1
"""Seconds between two tries."""

DIRECT = 60
"""Seconds that a participant may take to answer its client."""


class GaveUp(Exception):
    """The run has failed."""


class Careful:
    """Carries transfers out. Each call goes to the node that `choose` names, a name and a Client, at that time.

    urls: how the coordinators reach the banks, each with the end of a path to come. timeout_to_fail: of what is
    prepared; a saga has none, for what it paid out could be gone when it is to be taken back.
    """

    def __init__(
        self,
        choose: Callable[[], tuple[str, Client]],
        banks: Sequence[Bank],
        recorder: Recorder,
        *,
        urls: Sequence[str] = (),
        timeout_to_fail: int = 0,
    ) -> None:
        self._choose = choose
        self._banks = banks
        self._urls = urls or [bank.url("") for bank in banks]
        self._recorder = recorder
        self._timeout_to_fail = timeout_to_fail
        self._no_more = threading.Event()

    def give_up(self) -> None:
        """Whoever still asks stops asking: the run is over, or has failed."""
        self._no_more.set()

    def carry_out(self, transfer: Transfer) -> None:
        """Until this client knows that it is stored how it is to end, or dies as its quirk says."""
        with contextlib.suppress(GaveUp):
            {"tcc": self._tcc, "msg": self._msg}.get(transfer.mode, self._saga)(transfer)

    def _saga(self, transfer: Transfer) -> None:
        steps = [{"action": self._url(leg), "compensate": self._url(leg)} for leg in transfer.legs]
        payloads = [_payload(leg) for leg in transfer.legs]
        body: dict[str, Any] = {"steps": steps, "payloads": payloads, "wait_result": transfer.wait}
        if transfer.quirk == "faulty":
            body["payloads"] = payloads[:1]
        if transfer.mode == "concurrent":
            last = len(steps) - 1
            body["custom_data"] = json.dumps({"concurrent": True, "orders": {str(last): list(range(last))}})
        self._say(transfer, "submit", "saga", **body)
        if transfer.quirk == "fickle":
            self._say(transfer, "abort", "saga")

    def _tcc(self, transfer: Transfer) -> None:
        if self._say(transfer, "prepare", "tcc") != 200:
            return
        for branch_id, leg in zip(transfer.branch_ids, transfer.legs, strict=True):
            branch = {"branch_id": branch_id, "data": _payload(leg)}
            url = self._url(leg)
            registered = self._say(transfer, "registerBranch", "tcc", **branch, confirm=url, cancel=url)
            if registered != 200 or not self._agrees(transfer, branch_id, leg, "try"):
                self._say(transfer, "abort", "tcc")
                return
        if transfer.quirk != "dies":
            self._say(transfer, "submit", "tcc", wait_result=transfer.wait)

    def _msg(self, transfer: Transfer) -> None:
        local, *others = transfer.legs
        message = {
            "steps": [{"action": self._url(leg)} for leg in others],
            "payloads": [_payload(leg) for leg in others],
            "query_prepared": self._urls[local.bank] + LOCAL,
        }
        if self._say(transfer, "prepare", "msg", **message) != 200:
            return
        done = self._agrees(transfer, "00", local, "msg")
        if transfer.quirk != "dies":
            if done:
                self._say(transfer, "submit", "msg", **message, wait_result=transfer.wait)
            else:
                self._say(transfer, "abort", "msg")

    def _url(self, leg: Leg) -> str:
        return self._urls[leg.bank] + "move"

    def _agrees(self, transfer: Transfer, branch_id: str, leg: Leg, op: str) -> bool:
        """Ask a bank itself, without the coordinator: a try, or the local transaction of a message."""
        bank = self._banks[leg.bank]
        path = LOCAL if op == "msg" else "move"
        query = f"gid={transfer.gid}&branch_id={branch_id}&op={op}&trans_type={transfer.mode}"
        client = Client(bank.base, timeout=DIRECT)
        target = f"{urlsplit(bank.url(path)).path}?{query}"
        while True:
            status, _ = client.request("POST", target, _payload(leg).encode())
            if status in (200, 409):
                return status == 200
            self._pause()

    def _say(self, transfer: Transfer, verb: str, trans_type: str, **more: Any) -> int:
        """Say it until the answer is certain; its HTTP status. 425: it is stored, and goes on."""
        body = {"gid": transfer.gid, "trans_type": trans_type, **more}
        if verb == "prepare":
            body["timeout_to_fail"] = self._timeout_to_fail
        while True:
            node, client = self._choose()
            self._recorder.event("invoke", transfer.gid, verb, node)
            try:
                status, reply = client.post(verb, body)
            except (OSError, HTTPException, ValueError) as error:
                self._recorder.event("info", transfer.gid, verb, node, 0, repr(error))
            else:
                self._recorder.event(kind_of(status), transfer.gid, verb, node, status, reply)
                if status < 500 and status != 429:
                    return status
            self._pause()

    def _pause(self) -> None:
        if self._no_more.wait(PAUSE):
            raise GaveUp


def _payload(leg: Leg) -> str:
    return json.dumps({"account": leg.account, "amount": leg.change})
