"""The two JSON documents of a row: `request` (what was asked) and `state` (how it stands).

request: `{"body", "options", "custom_data", "branches": [[branch_id, op, url, payload], ...]}`, without what is not
there. A url or payload that is also a string of the body (8 characters or more) is written as that string's index among
the body's distinct strings, in document order: steps and payloads are stored once. An op that an earlier branch has is
written as its index among the distinct ops. A payload is text when it is valid UTF-8, else `{"b64": ...}`.

state: `{"next_at", "branches": [{...}, ...], "questions", "reason", "result", "trouble"}`, without what is not there;
its branches stand in the order of the request's. One that nothing has happened to is 0; one that took a single call,
which succeeded, is only `[when it began, duration]`: most are, and a database logs every byte twice. These two and
`next_at` are milliseconds, counted from when the transaction was created; `next_at` comes first, for what has not
changed at a document's beginning need not be logged. A save writes this document only; the other one is written again
by verbs that add to it.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Literal

import orjson

from dtm.core.errors import CorruptRow, InvalidRequest
from dtm.core.model import (
    Attempt,
    Branch,
    BranchStatus,
    Options,
    Outcome,
    Status,
    Transaction,
    new_attempt,
    new_transaction,
)
from dtm.core.store.shared_strings import distinct_strings

COLUMNS = (
    "id", "gid", "trans_type", "protocol_version", "status", "version", "owner", "doubt", "due_at",
    "created_at", "updated_at", "finished_at", "request", "state",
)  # fmt: skip
"""The columns of a row, in the order in which `decode` wants them."""

STATUS_CODE: dict[str, int] = {status: code for code, status in enumerate(Status, start=1)}
"""prepared 1, submitted 2, aborting 3, succeed 4, failed 5."""

STATUS_OF = dict(enumerate(Status, start=1))
"""The other way round."""

FIRST_FINAL = STATUS_CODE[Status.SUCCEED]

_BRANCH_STATUS = {status.value: status for status in BranchStatus}
_OUTCOME = {outcome.value: outcome for outcome in Outcome}
_OPTIONS = Options()
_OPTION_NAMES = tuple(option.name for option in fields(Options) if option.default_factory is MISSING)
_option_values = attrgetter(*_OPTION_NAMES)
_NUMBERS = frozenset({"started", "attempts", "from", "to", "retry", "answered"})
"""What is a whole number wherever a branch says it."""

_OPTION_TYPES = {name: (bool,) if type(getattr(_OPTIONS, name)) is bool else (int, float) for name in _OPTION_NAMES}


def encode_request(tx: Transaction) -> bytes:
    """The request document. InvalidRequest when it holds what JSON cannot."""
    document: dict[str, Any] = {"body": tx.body}
    if options := _options(tx.options):
        document["options"] = options
    if tx.custom_data:
        document["custom_data"] = tx.custom_data
    if tx.branches:
        places = distinct_strings(tx.body)
        ops: dict[str, int] = {}
        document["branches"] = [
            [each.branch_id, _op(each.op, ops), places.get(each.url, each.url), _payload(each.payload, places)]
            for each in tx.branches
        ]
    return _dump(document)


def encode_state(tx: Transaction) -> bytes:
    """The state document. InvalidRequest when it holds what JSON cannot."""
    document: dict[str, Any] = {}
    if tx.next_at is not None:
        document["next_at"] = tx.next_at - tx.created_at
    standings = [_standing(branch, tx.created_at) for branch in tx.branches]
    if standings:
        document["branches"] = standings
    if tx.questions:
        document["questions"] = [
            [asked.branch_id, asked.op, asked.url, _payload(asked.payload, {}), _standing(asked, tx.created_at)]
            for asked in tx.questions
        ]
    for name in ("reason", "result", "trouble"):
        if text := getattr(tx, name):
            document[name] = text
    return _dump(document)


def decode(row: Sequence[Any]) -> Transaction:
    """The transaction of a row in the order of COLUMNS. CorruptRow, naming gid and id, when it cannot be read."""
    (row_id, gid, trans_type, protocol_version, status, version, owner, doubt, due_at,
     created_at, updated_at, finished_at, request, state) = row  # fmt: skip
    try:
        asked = orjson.loads(request)
        stands = orjson.loads(state)
        return new_transaction(
            gid=gid,
            trans_type=trans_type,
            protocol_version=protocol_version,
            status=STATUS_OF[status],
            created_at=created_at,
            body=asked["body"],
            options=_read_options(asked["options"]) if "options" in asked else _OPTIONS,
            custom_data=asked.get("custom_data", ""),
            branches=_branches(asked, stands, created_at),
            questions=tuple(_branch(put[:4], put[4], (), created_at) for put in stands.get("questions", ())),
            reason=stands.get("reason", ""),
            result=stands.get("result", ""),
            next_at=created_at + stands["next_at"] if "next_at" in stands else None,
            trouble=stands.get("trouble", ""),
            id=row_id,
            version=version,
            owner=owner,
            doubt=bool(doubt),
            due_at=due_at,
            updated_at=updated_at,
            finished_at=finished_at,
        )
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise CorruptRow(f"transaction {gid!r} (id {row_id}) cannot be read: {error!r}") from error


def decoded(row: Sequence[Any]) -> Transaction | CorruptRow:
    """The transaction of a row, or why it cannot be read."""
    try:
        return decode(row)
    except CorruptRow as error:
        return error


def unreadable(row: Sequence[Any], error: CorruptRow) -> Transaction:
    """A row that `decode` refuses, for showing only: its columns, and the error as its `trouble`."""
    known = dict(zip(COLUMNS[:-2], row, strict=False))
    status = STATUS_OF.get(known.pop("status"), Status.PREPARED)
    return Transaction(**{**known, "status": status, "doubt": bool(known["doubt"])}, trouble=str(error))


def readable(row: Sequence[Any]) -> tuple[Transaction, str]:
    """The transaction of a row and "", or what can be shown of it and why it cannot be read."""
    try:
        return decode(row), ""
    except CorruptRow as error:
        return unreadable(row, error), str(error)


def _dump(document: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(document, default=_plain)
    except orjson.JSONEncodeError as error:
        raise InvalidRequest("", f"cannot be stored: {error}") from error


def _plain(value: object) -> dict[str, Any]:
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def _options(options: Options) -> dict[str, Any]:
    """Those that are not as they would be anyway: every default is false."""
    changed = {name: value for name, value in zip(_OPTION_NAMES, _option_values(options), strict=True) if value}
    if options.branch_headers:
        changed["branch_headers"] = dict(options.branch_headers)
    return changed


def _read_options(document: Mapping[str, Any]) -> Options:
    """The options of a document. TypeError: they are not what this version knows, or of other types."""
    for name, value in document.items():
        if name != "branch_headers" and type(value) not in _OPTION_TYPES.get(name, ()):
            raise TypeError(f"option {name} is {value!r}")
    return Options(**document)


def _op(op: str, ops: dict[str, int]) -> str | int:
    """The index of an op that has been seen; a new one itself, which has the next index from now on."""
    if op in ops:
        return ops[op]
    ops[op] = len(ops)
    return op


def _payload(payload: bytes, places: Mapping[str, int]) -> str | int | dict[str, str]:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return {"b64": b64encode(payload).decode()}
    return places.get(text, text)


def _standing(branch: Branch, origin: int) -> dict[str, Any] | list[int] | Literal[0]:
    if branch.log and _took_one_call(branch):
        return [branch.log[0].time - origin, branch.log[0].duration_ms]
    standing: dict[str, Any] = {}
    if branch.status is not BranchStatus.PREPARED:
        standing["status"] = branch.status
    if branch.started:
        standing["started"] = branch.started
    if branch.attempts:
        standing["attempts"] = branch.attempts
    if branch.started_at is not None:
        standing["from"] = branch.started_at
    if branch.ended_at is not None:
        standing["to"] = branch.ended_at
    if branch.error:
        standing["error"] = branch.error
    if branch.retry_at is not None:
        standing["retry"] = branch.retry_at
    if branch.log:
        standing["log"] = [
            [entry.time, entry.duration_ms, entry.outcome, entry.error]
            if entry.error
            else [entry.time, entry.duration_ms, entry.outcome]
            for entry in branch.log
        ]
    if branch.answered:
        standing["answered"] = branch.answered
    return standing or 0


def _took_one_call(branch: Branch) -> bool:
    """Whether this is a branch that succeeded with its first call, and nothing else is to be told of it."""
    if len(branch.log) != 1 or branch.status is not BranchStatus.SUCCEED:
        return False
    call = branch.log[0]
    return (
        (branch.started, branch.answered, branch.attempts) == (1, 1, 0)
        and (branch.started_at, branch.ended_at, branch.retry_at) == (call.time, call.time + call.duration_ms, None)
        and (call.outcome, call.error, branch.error) == (Outcome.SUCCESS, "", "")
    )


def _branches(asked: Mapping[str, Any], stands: Mapping[str, Any], origin: int) -> tuple[Branch, ...]:
    branches = asked.get("branches", ())
    strings = list(distinct_strings(asked["body"])) if branches else ()
    standings = stands.get("branches") or [0] * len(branches)
    ops: list[str] = []
    read = []
    for (branch_id, op, *sent), standing in zip(branches, standings, strict=True):
        if isinstance(op, int):
            op = ops[op]
        else:
            ops.append(op)
        read.append(_branch((branch_id, op, *sent), standing, strings, origin))
    return tuple(read)


def _branch(
    asked: Sequence[Any], standing: Mapping[str, Any] | list[int] | Literal[0], strings: Sequence[str], origin: int
) -> Branch:
    branch_id, op, url, payload = asked
    if isinstance(url, int):
        url = strings[url]
    if isinstance(payload, int):
        payload = strings[payload]
    data = payload.encode() if isinstance(payload, str) else b64decode(payload["b64"], validate=True)
    if isinstance(standing, list):
        after, duration_ms = standing
        if (type(after), type(duration_ms)) != (int, int):
            raise TypeError(f"a call is {standing!r}")
        time = origin + after
        log, ended = (new_attempt(time, duration_ms, Outcome.SUCCESS),), time + duration_ms
        return Branch(branch_id, op, url, data, BranchStatus.SUCCEED, 1, 0, time, ended, "", None, log, 1)
    if not standing:
        return Branch(branch_id, op, url, data)
    if wrong := [name for name in _NUMBERS & standing.keys() if type(standing[name]) is not int]:
        raise TypeError(f"{wrong[0]} is {standing[wrong[0]]!r}")
    get = standing.get
    return Branch(
        branch_id,
        op,
        url,
        data,
        _BRANCH_STATUS[get("status", "prepared")],
        get("started", 0),
        get("attempts", 0),
        get("from"),
        get("to"),
        get("error", ""),
        get("retry"),
        tuple(_attempt(*entry) for entry in get("log", ())),
        get("answered", 0),
    )


def _attempt(time: int, duration_ms: int, outcome: str, error: str = "") -> Attempt:
    return new_attempt(time, duration_ms, _OUTCOME[outcome], error)
