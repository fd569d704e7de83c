"""What a coordinator's answers mean (contract, section 0 and 3.9)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dtm.client.errors import (
    Conflict,
    DtmError,
    Failure,
    Fault,
    InvalidRequest,
    NotFound,
    Ongoing,
    OutcomeUnknown,
    ParticipantError,
    Unauthorized,
    Unreachable,
)
from dtm.client.flows import Answer, Flow, Pause, Reply, Wire

FINAL = ("succeed", "failed")
ROLLED_BACK = ("aborting", "failed")
POLL_FIRST, POLL_MOST = 0.05, 1.0


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction as the coordinator shows it. `branches` and `raw` (all that it says) as in the reply of `query`."""

    gid: str
    trans_type: str
    status: str
    reason: str
    branches: tuple[Mapping[str, Any], ...] = field(repr=False)
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def final(self) -> bool:
        """Whether it has ended."""
        return self.status in FINAL


def query(wire: Wire, gid: str, until: float | None = None) -> Flow[Transaction | None]:
    """How it stands; None when the coordinator knows no such gid."""
    answer = yield from wire.read("query", until, gid=gid)
    shown = _told(answer, "transaction")
    if not shown:
        return None
    return Transaction(
        gid=gid,
        trans_type=shown.get("trans_type", ""),
        status=shown.get("status", ""),
        reason=shown.get("rollback_reason", ""),
        branches=tuple(answer.body.get("branches") or ()),
        raw=shown,
    )


def submit(wire: Wire, body: Mapping[str, Any]) -> Flow[None]:
    """Submit, and take a repetition for what it is: what an earlier try has brought to its end has succeeded."""
    answer = yield from wire.write("submit", body)
    if answer.status != 409:
        _expect_success(answer)
        return
    status = yield from _status(wire, answer, body["gid"])
    if "errors" in answer.body:  # the gid is that of another transaction, and how that stands is nothing of ours
        raise Conflict(answer.message, status)
    if status == "succeed" and answer.repeated:
        return
    if status in ROLLED_BACK:
        raise Failure(answer.message, status)
    if status in ("prepared", "submitted") and body.get("wait_result"):
        raise Ongoing(f"{body['gid']} goes on, and may still succeed: {answer.message}")
    raise Conflict(answer.message, status)


def abort(wire: Wire, body: Mapping[str, Any]) -> Flow[None]:
    """Abort; that it is rolled back already is what was asked for."""
    answer = yield from wire.write("abort", body)
    if answer.status != 409:
        _expect_success(answer)
        return
    status = yield from _status(wire, answer, body["gid"])
    if status not in ROLLED_BACK:
        raise Conflict(answer.message, status)


def abort_any(wire: Wire, gid: str, reason: str) -> Flow[None]:
    """Abort a transaction of whatever type: the original server wants to be told the type."""
    found = yield from query(wire, gid)
    if found is None:
        raise NotFound(f"no transaction with gid {gid}")
    told = {"gid": gid, "trans_type": found.trans_type} | ({"rollback_reason": reason} if reason else {})
    yield from abort(wire, told)


def wait(wire: Wire, gid: str, timeout: float) -> Flow[Transaction]:
    """Look again and again, for `timeout` s, until it has ended; a coordinator that is away is waited for as well."""
    deadline, pause = time.monotonic() + timeout, POLL_FIRST
    while True:
        try:
            found = yield from query(wire, gid, deadline)
        except Unreachable as error:
            trouble: DtmError = error
        else:
            if found is None:
                raise NotFound(f"no transaction with gid {gid}")
            if found.final:
                return found
            trouble = Ongoing(f"{gid} has not ended within {timeout} s: it is {found.status}")
        left = deadline - time.monotonic()
        if left <= 0:
            raise trouble
        yield Pause(min(pause, left))
        pause = min(pause * 1.5, POLL_MOST)


def new_gid(wire: Wire) -> Flow[str]:
    """A gid of the coordinator's making."""
    return str(_told((yield from wire.read("newGid")), "gid"))


def force_stop(wire: Wire, gid: str) -> Flow[None]:
    """End it as failed."""
    answer = yield from wire.write("forceStop", {"gid": gid})
    if answer.status != 409:
        _expect_success(answer)
        return
    status = yield from _status(wire, answer, gid)
    if not (answer.repeated and status == "failed"):
        raise Conflict(answer.message, status)


def tell(wire: Wire, path: str, body: Mapping[str, Any]) -> Flow[None]:
    """prepare or registerBranch."""
    answer = yield from wire.write(path, body)
    if answer.status == 409:
        status = yield from _status(wire, answer, body["gid"])
        stands = f"it is {status}" if status else f"{answer.url} does not know it"
        raise Conflict(f"{answer.message} ({stands})", status)
    _expect_success(answer)


def _status(wire: Wire, answer: Answer, gid: str) -> Flow[str]:
    """The status that a 409 speaks of; asked for where the server does not say."""
    said = answer.body.get("status")
    if said:
        return str(said)
    found = yield from query(wire, gid)
    return found.status if found else ""


def _expect_success(answer: Answer) -> None:
    """OutcomeUnknown: whoever answers does not say that it has done anything."""
    said = answer.body.get("dtm_result")
    if answer.status != 200 or said == "FAILURE":
        raise meaning(answer)
    if said != "SUCCESS":
        raise OutcomeUnknown(f"{answer.url} answers 200, but no dtm_result of SUCCESS: is a coordinator there?")


def _told(answer: Answer, name: str) -> Any:
    """What a request that changes nothing has asked for. Unreachable: whoever answers does not say it."""
    if answer.status != 200:
        raise meaning(answer)
    if name not in answer.body:
        raise Unreachable(f"{answer.url} answers 200, but no {name}: is a coordinator there?")
    return answer.body[name]


def meaning(answer: Answer) -> DtmError:
    """The error that an answer stands for, 409 to a submit aside."""
    match answer.status:
        case 425:
            return Ongoing(answer.message)
        case 401 | 403:
            return Unauthorized(f"{answer.url}: {answer.message}")
        case 404:
            return NotFound(answer.message)
        case 200 | 409:
            return Failure(answer.message)
    faults = answer.body.get("errors") or ()
    return InvalidRequest(answer.message, tuple(Fault(fault["pointer"], fault["message"]) for fault in faults))


def of_participant(reply: Reply, url: str) -> Reply:
    """The reply of a participant that was called from here, when it says yes (contract, "Reply of a participant")."""
    text = reply.content.decode(errors="replace")
    body = reply.json()
    word = body.get("dtm_result", "SUCCESS") if isinstance(body, dict) else text.strip().strip('"')
    if reply.status in (425, 202) or (reply.status < 300 and word == "ONGOING"):
        raise Ongoing(f"{url} is not ready yet: {reply.excerpt}")
    if reply.status == 409 or (reply.status < 300 and word == "FAILURE"):
        raise Failure(f"{url} refused: {reply.excerpt}")
    if not 200 <= reply.status < 300 or (isinstance(body, dict) and word != "SUCCESS"):
        raise ParticipantError(f"{url} answered {reply.status}: {reply.excerpt}", reply.status)
    return reply
