"""The verbs: prepare, submit, abort, force-stop, register (contract 1.2 to 1.6 and 3.9)."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from dtm.core import lifecycle
from dtm.core.errors import Conflict, InvalidRequest, NotAllowed, NotFound, OtherContent
from dtm.core.model import ERROR_CHARS, Options, Status, Transaction, Verb, changed_transaction, new_transaction
from dtm.core.node import Node
from dtm.core.protocol import changed_request
from dtm.core.registry import Registered
from dtm.core.service.intake import OPTION_KEYS, Intake, Reader
from dtm.core.service.topics import Topics
from dtm.core.service.waiting import Waiting
from dtm.core.service.writing import Writer
from dtm.core.values import replacer

COMPARED_NOT = frozenset({"query_prepared"})
"""Body keys that are no part of what makes two requests the same (contract, point 2)."""


_changed_options, _values = replacer(Options), attrgetter(*OPTION_KEYS)


class Verbs:
    """What a client may ask for. Each method returns when the change is durable; waits when told to."""

    def __init__(self, node: Node, reader: Reader, writer: Writer, waiting: Waiting, topics: Topics) -> None:
        self._node = node
        self._reader = reader
        self._writer = writer
        self._waiting = waiting
        self._topics = topics

    async def prepare(self, body: Mapping[str, Any]) -> None:
        """Create a transaction in its first status."""
        await self._enter(self._reader.transaction(Verb.PREPARE, body))

    async def submit(self, body: Mapping[str, Any], wait: bool = False) -> None:
        """Decide that it should happen. With `wait` or the option wait_result: hear how the first pass ended."""
        intake = self._reader.transaction(Verb.SUBMIT, body)
        await self._enter(intake)
        if wait or intake.request.options.wait_result:
            await self._waiting.until_settled(intake.request.gid, Status.SUCCEED)

    async def abort(self, body: Mapping[str, Any], wait: bool = False) -> None:
        """Decide that it should not happen. Waits with `wait`, or when the stored options say so."""
        given = self._reader.reference(body)
        tx = await self._writer.change(given["gid"], lambda tx: self._aborted(tx, given))
        if wait or tx.options.wait_result:
            await self._waiting.until_settled(tx.gid, Status.FAILED)

    async def force_stop(self, body: Mapping[str, Any]) -> None:
        """End it as failed, whatever is still to do: an operator's last resort."""
        await self._writer.change(self._reader.reference(body)["gid"], _stopped)

    async def register_branch(self, body: Mapping[str, Any], implied_type: str | None = None) -> None:
        """Add branches to a transaction that is not decided yet. The same again is 200, other content 409."""
        registered, request = self._reader.registration(body, implied_type)
        if registered.protocol.register is None:
            raise InvalidRequest("/trans_type", f"{request.trans_type} registers no branches")
        made = self._topics.branching.made(registered.protocol.register, request, registered)

        def decide(tx: Transaction) -> Transaction | None:
            if tx.trans_type != request.trans_type:
                raise Conflict(
                    f"trans type: '{tx.trans_type}' of gid: {tx.gid} is not '{request.trans_type}'", tx.status
                )
            stored = {branch.key: branch for branch in tx.branches}
            same = [b.key in stored and (stored[b.key].url, stored[b.key].payload) == (b.url, b.payload) for b in made]
            if same and all(same):
                return None
            self._allow(registered, Verb.REGISTER, tx, request)
            if any(branch.key in stored for branch in made):
                raise Conflict(f"branch {made[0].branch_id} is registered with other content", tx.status)
            return changed_transaction(tx, branches=(*tx.branches, *made))

        try:
            await self._writer.change(request.gid, decide)
        except NotFound as error:
            raise Conflict(f"no trans with gid: {request.gid} status: prepared found") from error

    async def _enter(self, intake: Intake) -> None:
        """prepare and submit: create the transaction, or move the one that is there."""
        request, registered = intake.request, intake.registered
        may_exist = request.verb in registered.continuing
        if may_exist and (stored := await self._node.store.load(request.gid)) is not None:
            await self._again(intake, stored)
            return
        try:
            status = lifecycle.apply(registered.protocol.verbs, request.verb, None, request)
        except NotAllowed as error:  # a verb that makes nothing of nothing
            raise NotFound(f"no TransGlobal with gid: {request.gid} found") from error
        try:
            branches = await self._topics.expanded(intake)
        except InvalidRequest:
            if await self._node.store.load(request.gid) is None:
                raise
            await self._again(intake)  # what a later request leaves out matches
            return
        tx = new_transaction(
            gid=request.gid,
            trans_type=request.trans_type,
            protocol_version=registered.protocol.version,
            status=status,
            created_at=self._node.store.now(),
            body=request.body,
            options=request.options,
            custom_data=intake.custom_data,
            branches=branches,
        )
        if await self._writer.create(tx) is None:
            await self._again(intake)

    async def _again(self, intake: Intake, seen: Transaction | None = None) -> None:
        """The gid exists: the same request moves it or repeats itself, another one is refused."""
        request = intake.request

        def decide(tx: Transaction) -> Transaction:
            _same_content(tx, intake)
            target = self._allow(intake.registered, request.verb, tx, request)
            if tx.status is not Status.PREPARED or request.verb != Verb.SUBMIT:
                return tx if target is tx.status else changed_transaction(tx, status=target)
            if intake.custom_data and intake.custom_data != tx.custom_data:
                stored = changed_request(request, body=tx.body, topic=lambda name: ())
                self._topics.branching.expanded(stored, intake.registered)  # may refuse the new custom_data
            custom_data = intake.custom_data or tx.custom_data
            options = _merged(tx.options, request.options)
            return changed_transaction(tx, status=target, options=options, custom_data=custom_data)

        await self._writer.change(request.gid, decide, seen)

    def _aborted(self, tx: Transaction, given: Mapping[str, Any]) -> Transaction | None:
        registered = self._reader.protocol(tx.trans_type)
        target = self._allow(registered, Verb.ABORT, tx, None)
        if target is tx.status:
            return tx
        return changed_transaction(tx, status=target, reason=given.get("rollback_reason", "")[:ERROR_CHARS])

    def _allow(self, registered: Registered, verb: str, tx: Transaction, request: Any) -> Status:
        if not registered.protocol.runs(tx.protocol_version):
            raise InvalidRequest("/trans_type", f"no version {tx.protocol_version!r} of {tx.trans_type!r} here")
        try:
            return lifecycle.apply(registered.protocol.verbs, verb, tx.status, request)
        except NotAllowed as error:
            raise _refusal(verb, tx) from error


def _stopped(tx: Transaction) -> Transaction:
    try:
        target = lifecycle.apply({}, Verb.FORCE_STOP, tx.status)
    except NotAllowed as error:
        raise _refusal(Verb.FORCE_STOP, tx) from error
    return changed_transaction(tx, status=target, reason="force stopped")


def _refusal(verb: str, tx: Transaction) -> Conflict:
    """The words of the contract; `sumbmit` is how its first server spells it."""
    texts = {
        Verb.PREPARE: f"current status '{tx.status}', cannot prepare.",
        Verb.SUBMIT: f"current status '{tx.status}', cannot sumbmit.",
        Verb.ABORT: f"trans type: '{tx.trans_type}' current status '{tx.status}', cannot abort.",
        Verb.REGISTER: f"no trans with gid: {tx.gid} status: prepared found",
        Verb.FORCE_STOP: f"global transaction force stop error. status: {tx.status}. error:",
    }
    return NotAllowed(texts[Verb(verb)], tx.status)


def _same_content(tx: Transaction, intake: Intake) -> None:
    """Refuse another transaction under a gid that is taken; what the later request leaves out matches."""
    request = intake.request
    if tx.trans_type != request.trans_type:
        raise OtherContent("/trans_type", f"gid {tx.gid} is a transaction of type '{tx.trans_type}'", tx.status)
    for key, value in request.body.items():
        if key not in COMPARED_NOT and tx.body.get(key) != value:
            raise OtherContent(f"/{key}", f"gid {tx.gid} exists with other {key}", tx.status)


def _merged(stored: Options, given: Options) -> Options:
    """Options given and non-zero in a submit replace what the prepare stored (contract, point 6)."""
    if given == stored:
        return stored
    return _changed_options(stored, **{n: value for n, value in zip(OPTION_KEYS, _values(given), strict=True) if value})
