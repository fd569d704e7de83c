"""The client that blocks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeVar, Unpack

import httpx

from dtm.client import answers
from dtm.client.answers import Transaction
from dtm.client.barrier import Barrier
from dtm.client.base import TIMEOUT, TRIES, BaseClient, trouble
from dtm.client.bodies import MsgSteps, SagaSteps, TccBranches, branch_of, committed, reason_of
from dtm.client.colours import plain
from dtm.client.errors import DtmError
from dtm.client.flows import PAUSED, Flow, Lost, NotSent, Pause, Reply, Send
from dtm.client.options import Options

T = TypeVar("T")


class Client(BaseClient):
    """Speaks to a coordinator, or to the one of several that answers. Threads may share it, and forked processes.
    Where an event loop runs, AsyncClient belongs: this one stops the loop while it waits.

    url: one or more base urls. token: a bearer token. timeout: s that one answer may take, of which 5 to connect; a
    request that has none is sent again, `tries` times in all. http: an httpx.Client of your own (TLS, proxies, limits);
    close it yourself, and share it with no forked process.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        token: str = "",
        timeout: float = TIMEOUT,
        tries: int = TRIES,
        http: httpx.Client | None = None,
    ) -> None:
        super().__init__(url, token, timeout, tries)
        self._http = http or httpx.Client()
        self._own = http is None
        self._process = os.getpid()

    def __enter__(self) -> Self:
        """Nothing is opened before it is needed."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the connections, unless they are of a client of your own."""
        if self._own:
            self._http.close()

    def saga(self, gid: str | None = None, *, concurrent: bool = False, **options: Unpack[Options]) -> Saga:
        """A saga: steps that can be taken back; one after the other, or all at once."""
        return Saga(self, gid, options, concurrent=concurrent)

    def msg(
        self, gid: str | None = None, *, concurrent: bool = False, delay: int = 0, **options: Unpack[Options]
    ) -> Msg:
        """A message: steps that will happen once it is submitted, `delay` seconds after its creation."""
        return Msg(self, gid, options, concurrent=concurrent, delay=delay)

    def tcc(self, gid: str | None = None, **options: Unpack[Options]) -> Tcc:
        """A TCC: `with client.tcc() as tcc: tcc.call_branch(...)`."""
        return Tcc(self, gid, options)

    def nested_tcc(self, query: Mapping[str, str], **options: Unpack[Options]) -> NestedTcc:
        """In a participant: branches of its own, below the one whose try came with this query. ValueError: none did.

        query: as `request.query_params` (FastAPI), `request.args` (Flask), `request.query` (aiohttp). The client is one
        of the coordinator that has the transaction; Conflict: that does not know it.
        """
        gid, parent = branch_of(query)
        return NestedTcc(self, gid, options, parent=parent)

    def new_gid(self) -> str:
        """A gid of the coordinator's making. `dtm.client.new_gid()` makes one without asking."""
        return self.run(answers.new_gid(self.wire))

    def query(self, gid: str) -> Transaction | None:
        """How it stands; None when there is none."""
        return self.run(answers.query(self.wire, gid))

    def wait(self, gid: str, timeout: float = 30.0) -> Transaction:
        """Return when it has ended, well or not.

        Ongoing: it has not within `timeout` s; NotFound: there is none; Unreachable: nobody could be asked by then.
        """
        return self.run(answers.wait(self.wire, gid, timeout))

    def abort(self, gid: str, reason: str = "") -> None:
        """Roll it back. Conflict: it is decided already; NotFound: there is none."""
        self.run(answers.abort_any(self.wire, gid, reason))

    def force_stop(self, gid: str) -> None:
        """End it as failed and call nobody: an operator's last resort. Conflict: it has ended."""
        self.run(answers.force_stop(self.wire, gid))

    def run(self, flow: Flow[T]) -> T:
        """Carry a flow out."""
        try:
            step = next(flow)
            while True:
                try:
                    reply = self._carry_out(step)
                except (NotSent, Lost) as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(reply)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _connections(self) -> httpx.Client:
        """Those of this process: on the ones that came with a fork its parent hears answers, too."""
        if self._own and self._process != os.getpid():
            self._http, self._process = httpx.Client(), os.getpid()
        return self._http

    def _carry_out(self, step: Send | Pause) -> Reply:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return PAUSED
        headers = dict(step.headers)
        try:
            got = self._connections().request(
                step.method, step.url, content=step.content, headers=headers, timeout=self._timeouts(step)
            )
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise trouble(error) from error
        return Reply(got.status_code, got.content)


class Saga(SagaSteps[Client]):
    """Add steps, then submit."""

    def submit(self) -> str:
        """Submit; the gid. With wait_result it has succeeded then. Failure, Ongoing, Conflict, InvalidRequest ..."""
        return self._client.run(self._submit())


class Msg(MsgSteps[Client]):
    """Add steps, then submit; or prepare, commit a local transaction, and submit."""

    def prepare(self, query_prepared: str) -> None:
        """Have it stored undecided: who does not submit in time is asked at this url."""
        self._client.run(self._prepare(query_prepared))

    def submit(self) -> str:
        """Decide that it is delivered; the gid."""
        return self._client.run(self._submit())

    def abort(self, reason: str = "") -> None:
        """Decide that a prepared one is not."""
        self._client.run(self._abort(reason))

    def do_and_submit(self, query_prepared: str, work: Callable[[Barrier], T], *, table: str | None = None) -> T:
        """Deliver if, and only if, a local transaction is committed: prepare, `work(barrier)`, submit; what work gives.

        `work` does `barrier.call(connection, ...)`, once. query_prepared: the url that answers
        `Barrier.query_prepared` on the same database, asked when it cannot be told here what has become of it.
        An error of `work` is raised: Failure aborts, after others it is asked for; so after the RuntimeError which says
        that `work` has committed nothing. An error of the submit is raised too, with a note: the message will be
        delivered all the same. table: as for Barrier.
        """
        barrier = self._barrier(table)
        self.prepare(query_prepared)
        try:
            result = committed(barrier, plain(work(barrier), "the client", "work"))
        except Exception as error:
            self._client.run(self._give_up(barrier, error))
            raise
        self._client.run(self._submit_committed())
        return result


class NestedTcc(TccBranches[Client]):
    """Branches below another branch; who began the transaction decides about it."""

    def call_branch(self, try_url: str, confirm: str, cancel: str, payload: Any = None) -> Reply:
        """Register a branch and call its try; its reply.

        Failure: it was refused. Ongoing, ParticipantError: no clear answer. All of them are to end the transaction.
        """
        return self._client.run(self._call_branch(try_url, confirm, cancel, payload))


class Tcc(NestedTcc):
    """A context: entering prepares, leaving submits; an exception aborts and is raised on."""

    def __enter__(self) -> Self:
        """Prepare."""
        self._client.run(self._prepare())
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Submit, or abort."""
        if error is None:
            self._client.run(self._submit())
            return
        try:
            self._client.run(self._abort(reason_of(error)))
        except DtmError as trouble:
            error.add_note(
                f"the coordinator will abort {self.gid} at its time-out, for it could not be told: {trouble}"
            )
