"""The client for asyncio: what `Client` has, with `await`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Self, TypeVar, Unpack

import httpx

from dtm.client import answers
from dtm.client.answers import Transaction
from dtm.client.barrier import Barrier
from dtm.client.base import TIMEOUT, TRIES, BaseClient, trouble
from dtm.client.bodies import MsgSteps, SagaSteps, TccBranches, branch_of, committed, reason_of
from dtm.client.colours import awaitable
from dtm.client.errors import DtmError
from dtm.client.flows import PAUSED, Flow, Lost, NotSent, Pause, Reply, Send
from dtm.client.options import Options

T = TypeVar("T")


class AsyncClient(BaseClient):
    """Speaks to a coordinator, or to the one of several that answers. Tasks of one event loop may share it.

    url: one or more base urls. token: a bearer token. timeout: s that one answer may take, of which 5 to connect; a
    request that has none is sent again, `tries` times in all. http: an httpx.AsyncClient of your own (TLS, proxies,
    limits); close it yourself.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        token: str = "",
        timeout: float = TIMEOUT,
        tries: int = TRIES,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        super().__init__(url, token, timeout, tries)
        self._http = http or httpx.AsyncClient()
        self._own = http is None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        """Nothing is opened before it is needed."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close it."""
        await self.close()

    async def close(self) -> None:
        """Close the connections, unless they are of a client of your own."""
        if self._own:
            await self._http.aclose()

    def saga(self, gid: str | None = None, *, concurrent: bool = False, **options: Unpack[Options]) -> AsyncSaga:
        """A saga: steps that can be taken back; one after the other, or all at once."""
        return AsyncSaga(self, gid, options, concurrent=concurrent)

    def msg(
        self, gid: str | None = None, *, concurrent: bool = False, delay: int = 0, **options: Unpack[Options]
    ) -> AsyncMsg:
        """A message: steps that will happen once it is submitted, `delay` seconds after its creation."""
        return AsyncMsg(self, gid, options, concurrent=concurrent, delay=delay)

    def tcc(self, gid: str | None = None, **options: Unpack[Options]) -> AsyncTcc:
        """A TCC: `async with client.tcc() as tcc: await tcc.call_branch(...)`."""
        return AsyncTcc(self, gid, options)

    def nested_tcc(self, query: Mapping[str, str], **options: Unpack[Options]) -> AsyncNestedTcc:
        """In a participant: branches of its own, below the one whose try came with this query. ValueError: none did.

        query: as `request.query_params` (FastAPI), `request.args` (Flask), `request.query` (aiohttp). The client is one
        of the coordinator that has the transaction; Conflict: that does not know it.
        """
        gid, parent = branch_of(query)
        return AsyncNestedTcc(self, gid, options, parent=parent)

    async def new_gid(self) -> str:
        """A gid of the coordinator's making. `dtm.client.new_gid()` makes one without asking."""
        return await self.run(answers.new_gid(self.wire))

    async def query(self, gid: str) -> Transaction | None:
        """How it stands; None when there is none."""
        return await self.run(answers.query(self.wire, gid))

    async def wait(self, gid: str, timeout: float = 30.0) -> Transaction:
        """Return when it has ended, well or not.

        Ongoing: it has not within `timeout` s; NotFound: there is none; Unreachable: nobody could be asked by then.
        """
        return await self.run(answers.wait(self.wire, gid, timeout))

    async def abort(self, gid: str, reason: str = "") -> None:
        """Roll it back. Conflict: it is decided already; NotFound: there is none."""
        await self.run(answers.abort_any(self.wire, gid, reason))

    async def force_stop(self, gid: str) -> None:
        """End it as failed and call nobody: an operator's last resort. Conflict: it has ended."""
        await self.run(answers.force_stop(self.wire, gid))

    async def run(self, flow: Flow[T]) -> T:
        """Carry a flow out."""
        try:
            step = next(flow)
            while True:
                try:
                    reply = await self._carry_out(step)
                except (NotSent, Lost) as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(reply)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _stay_in_one_loop(self) -> None:
        """RuntimeError, instead of whatever a connection of another event loop would do."""
        running = asyncio.get_running_loop()
        self._loop = self._loop or running
        if self._loop is not running:
            raise RuntimeError(
                "this AsyncClient was used in another event loop, where its connections are: make another"
            )

    async def _carry_out(self, step: Send | Pause) -> Reply:
        self._stay_in_one_loop()
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return PAUSED
        headers = dict(step.headers)
        try:
            got = await self._http.request(
                step.method, step.url, content=step.content, headers=headers, timeout=self._timeouts(step)
            )
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise trouble(error) from error
        return Reply(got.status_code, got.content)


class AsyncSaga(SagaSteps[AsyncClient]):
    """Add steps, then submit."""

    async def submit(self) -> str:
        """Submit; the gid. With wait_result it has succeeded then. Failure, Ongoing, Conflict, InvalidRequest ..."""
        return await self._client.run(self._submit())


class AsyncMsg(MsgSteps[AsyncClient]):
    """Add steps, then submit; or prepare, commit a local transaction, and submit."""

    async def prepare(self, query_prepared: str) -> None:
        """Have it stored undecided: who does not submit in time is asked at this url."""
        await self._client.run(self._prepare(query_prepared))

    async def submit(self) -> str:
        """Decide that it is delivered; the gid."""
        return await self._client.run(self._submit())

    async def abort(self, reason: str = "") -> None:
        """Decide that a prepared one is not."""
        await self._client.run(self._abort(reason))

    async def do_and_submit(
        self, query_prepared: str, work: Callable[[Barrier], Awaitable[T]], *, table: str | None = None
    ) -> T:
        """Deliver if, and only if, a local transaction is committed: prepare, `work(barrier)`, submit; what work gives.

        `work` does `await barrier.call(connection, ...)`, once. query_prepared: the url that answers
        `Barrier.query_prepared` on the same database, asked when it cannot be told here what has become of it.
        An error of `work` is raised: Failure aborts, after others it is asked for; so after the RuntimeError which says
        that `work` has committed nothing. An error of the submit is raised too, with a note: the message will be
        delivered all the same. table: as for Barrier.
        """
        barrier = self._barrier(table)
        await self.prepare(query_prepared)
        try:
            result = committed(barrier, await awaitable(work(barrier), "the client", "work"))
        except Exception as error:
            await self._client.run(self._give_up(barrier, error))
            raise
        await self._client.run(self._submit_committed())
        return result


class AsyncNestedTcc(TccBranches[AsyncClient]):
    """Branches below another branch; who began the transaction decides about it."""

    async def call_branch(self, try_url: str, confirm: str, cancel: str, payload: Any = None) -> Reply:
        """Register a branch and call its try; its reply.

        Failure: it was refused. Ongoing, ParticipantError: no clear answer. All of them are to end the transaction.
        """
        return await self._client.run(self._call_branch(try_url, confirm, cancel, payload))


class AsyncTcc(AsyncNestedTcc):
    """A context: entering prepares, leaving submits; an exception aborts and is raised on."""

    async def __aenter__(self) -> Self:
        """Prepare."""
        await self._client.run(self._prepare())
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Submit, or abort."""
        if error is None:
            await self._client.run(self._submit())
            return
        try:
            await self._client.run(self._abort(reason_of(error)))
        except DtmError as trouble:
            error.add_note(
                f"the coordinator will abort {self.gid} at its time-out, for it could not be told: {trouble}"
            )
