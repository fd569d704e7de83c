"""What a transaction is made of before anybody sends it: the same for both clients."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar
from urllib.parse import urlencode

from dtm.client import answers
from dtm.client.barrier import Barrier
from dtm.client.barrier.rules import MSG, MSG_BRANCH
from dtm.client.base import BaseClient
from dtm.client.errors import Conflict, DtmError, Failure, Fault, InvalidRequest, ParticipantError
from dtm.client.flows import Flow, Lost, NotSent, Reply, Send
from dtm.client.gids import new_gid
from dtm.client.options import Options
from dtm.client.payloads import payload_text

TOPIC = "topic://"

AnyClient = TypeVar("AnyClient", bound=BaseClient)
T = TypeVar("T")


class Body(Generic[AnyClient]):
    """A transaction under a gid of its own, with its options. TypeError: an unknown one, which servers would ignore."""

    trans_type: ClassVar[str]

    def __init__(self, client: AnyClient, gid: str | None, options: Options) -> None:
        if unknown := options.keys() - Options.__optional_keys__:
            raise TypeError(f"no such option: {sorted(unknown)}; there are {sorted(Options.__optional_keys__)}")
        self.gid = gid or new_gid()
        self.options = options
        self._client = client
        self._wire = client.wire

    def body(self) -> dict[str, Any]:
        """The request body, as it goes over the wire."""
        return {"gid": self.gid, "trans_type": self.trans_type, **self.options}

    def _submit(self) -> Flow[str]:
        yield from answers.submit(self._wire, self.body())
        return self.gid

    def _abort(self, reason: str) -> Flow[None]:
        told = {"gid": self.gid, "trans_type": self.trans_type}
        yield from answers.abort(self._wire, told | ({"rollback_reason": reason} if reason else {}))

    def _call(self, method: str, url: str, branch_id: str, op: str, content: bytes | None = None) -> Flow[Reply]:
        """Call a participant, as a coordinator would; its reply if it says yes. Failure, Ongoing, ParticipantError."""
        identity = {"gid": self.gid, "trans_type": self.trans_type, "branch_id": branch_id, "op": op}
        url = url + ("&" if "?" in url else "?") + urlencode({"dtm": self._wire.url, **identity})
        headers = {"Content-Type": "application/json", **self.options.get("branch_headers", {})}
        try:
            reply = yield Send(method, url, content, headers)
        except (NotSent, Lost) as error:
            raise ParticipantError(f"{url.partition('?')[0]} did not answer: {error}") from error
        return answers.of_participant(reply, url.partition("?")[0])


class Steps(Body[AnyClient]):
    """A transaction that is submitted with all its steps."""

    def __init__(self, client: AnyClient, gid: str | None, options: Options, *, concurrent: bool) -> None:
        super().__init__(client, gid, options)
        self.concurrent = concurrent
        self._steps: list[dict[str, str]] = []
        self._payloads: list[str] = []

    def body(self) -> dict[str, Any]:
        """The request body, as it goes over the wire."""
        return {**super().body(), "steps": self._steps, "payloads": self._payloads, "concurrent": self.concurrent}

    def _add(self, step: dict[str, str], payload: Any) -> None:
        _expect_urls(step, f"/steps/{len(self._steps)}")
        text = payload_text(payload)
        self._steps.append(step)
        self._payloads.append(text)


class SagaSteps(Steps[AnyClient]):
    """Steps that can be taken back."""

    trans_type = "saga"

    def __init__(self, client: AnyClient, gid: str | None, options: Options, *, concurrent: bool) -> None:
        super().__init__(client, gid, options, concurrent=concurrent)
        self._orders: dict[str, list[int]] = {}

    def step(self, action: str, compensate: str = "", payload: Any = None, *, after: Iterable[int] = ()) -> Self:
        """One more step: the url that does it, the url that takes it back ("": nothing to do), what both are sent.

        payload: None sends nothing, by GET; all else is sent by POST.
        after: numbers (from 0) of the steps that must have succeeded first; in a saga that is not concurrent each step
        comes after the one before it anyway.
        """
        order, number = sorted(set(after)), str(len(self._steps))
        self._add({"action": action, "compensate": compensate}, payload)
        if order:
            self._orders[number] = order
        return self

    def body(self) -> dict[str, Any]:
        """The request body, as it goes over the wire."""
        body = super().body()
        if self.concurrent or self._orders:
            body["custom_data"] = json.dumps({"concurrent": self.concurrent, "orders": self._orders})
        return body


class MsgSteps(Steps[AnyClient]):
    """Steps that will happen, whatever it takes, once the message is submitted."""

    trans_type = "msg"

    def __init__(self, client: AnyClient, gid: str | None, options: Options, *, concurrent: bool, delay: int) -> None:
        super().__init__(client, gid, options, concurrent=concurrent)
        self.delay = delay
        self.query_prepared = ""

    def step(self, action: str, payload: Any = None) -> Self:
        """One more url to be called, and what it is sent; by GET if that is None."""
        self._add({"action": action}, payload)
        return self

    def topic(self, name: str, payload: Any = None) -> Self:
        """One more step: all who have subscribed to this topic by now."""
        return self.step(TOPIC + name, payload)

    def body(self) -> dict[str, Any]:
        """The request body, as it goes over the wire."""
        body = {**super().body(), "query_prepared": self.query_prepared}
        if self.delay:
            body["custom_data"] = json.dumps({"delay": self.delay})
        return body

    def _prepare(self, query_prepared: str) -> Flow[None]:
        self.query_prepared = query_prepared
        return answers.tell(self._wire, "prepare", self.body())

    def _barrier(self, table: str | None) -> Barrier:
        """The barrier of its local transaction."""
        return Barrier(self.trans_type, self.gid, MSG_BRANCH, MSG, table=table)

    def _submit_committed(self) -> Flow[None]:
        """Submit what is committed; a check-back may have been quicker, and all of it be done already."""
        try:
            yield from self._submit()
        except DtmError as error:
            if isinstance(error, Conflict) and error.status == "succeed":
                return
            error.add_note(f"the local transaction of {self.gid} is committed; the coordinator asks for it by itself")
            raise

    def _give_up(self, barrier: Barrier, error: Exception) -> Flow[None]:
        """What becomes of the message when its local transaction has raised `error`, maybe after a commit.

        Where nobody can tell, it is left to the coordinator, which will ask at its time-out.
        """
        try:
            if not isinstance(error, Failure) or barrier.may_be_done:
                try:
                    yield from self._call("GET", self.query_prepared, MSG_BRANCH, MSG)
                except Failure:
                    pass
                else:
                    yield from self._submit_committed()
                    return
            yield from self._abort(reason_of(error))
        except DtmError as trouble:
            error.add_note(f"what becomes of message {self.gid} is left to the coordinator: {trouble}")


class TccBranches(Body[AnyClient]):
    """A transaction whose branches are registered, and tried, one by one. `parent`: of nested ones, their prefix."""

    trans_type = "tcc"

    def __init__(self, client: AnyClient, gid: str | None, options: Options, *, parent: str = "") -> None:
        super().__init__(client, gid, options)
        self.parent = parent
        self._branches = 0

    def _prepare(self) -> Flow[None]:
        return answers.tell(self._wire, "prepare", self.body())

    def _call_branch(self, try_url: str, confirm: str, cancel: str, payload: Any) -> Flow[Reply]:
        """Register first, so that a crash in between leads to a cancel; then call the try, once."""
        _expect_urls({"try": try_url, "confirm": confirm, "cancel": cancel}, "")
        data = payload_text(payload)
        self._branches += 1
        branch_id = f"{self.parent}{self._branches:02d}"
        identity = {"gid": self.gid, "trans_type": self.trans_type, "branch_id": branch_id}
        registration = {**identity, "data": data, "confirm": confirm, "cancel": cancel}
        yield from answers.tell(self._wire, "registerBranch", registration)
        if not try_url:
            return Reply(200, b"")
        return (yield from self._call("POST", try_url, branch_id, "try", data.encode()))


def _expect_urls(urls: Mapping[str, Any], at: str) -> None:
    """InvalidRequest: one is no text. Servers take null, such as a setting that is not there, for nothing to call."""
    faults = [
        Fault(f"{at}/{name}", f'expected a url, or "" for nothing to call, got {type(url).__name__}')
        for name, url in urls.items()
        if not isinstance(url, str)
    ]
    if faults:
        raise InvalidRequest("", tuple(faults))


def reason_of(error: BaseException) -> str:
    """Why something is aborted; many exceptions, like that of a cancelled task, say nothing but their name."""
    return str(error) or type(error).__name__


def committed(barrier: Barrier, result: T) -> T:
    """The result of a local transaction that was committed. RuntimeError: none was, so nothing may be delivered."""
    if not barrier.done:
        raise RuntimeError("work has ended, but committed nothing by barrier.call: to give it up, it raises Failure")
    return result


def branch_of(query: Mapping[str, str]) -> tuple[str, str]:
    """gid and branch_id of the call that a participant has been sent. ValueError when they are not there."""
    gid, branch_id = query.get("gid", ""), query.get("branch_id", "")
    if not gid or not branch_id or query.get("trans_type") != TccBranches.trans_type:
        raise ValueError("expected the query of a tcc's try: gid, branch_id and trans_type=tcc")
    return gid, branch_id
