"""What travels between coordinator and participant, as pure functions: the call, the reading of its reply, legality."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.metadata import version
from urllib.parse import quote, quote_plus

from dtm.core.model import ERROR_CHARS, Branch, Outcome
from dtm.core.transport.base import Headers, Outgoing, Reply, new_outgoing, no_epoch
from dtm.core.transport.origin import split

LONGEST_URL = 2048

_HEADERS = (
    ("Content-Type", "application/json"),
    ("Accept", "application/json"),
    ("User-Agent", f"dtm-coordinator/{version('dtm-coordinator')}"),
    ("Accept-Encoding", "gzip"),
)
_OWN_HEADERS = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "expect", "upgrade", "te", "trailer", "dtm-epoch")
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]*")
_NOT_IN_URL = re.compile(r"[\s\x00-\x20\x7f-\x9f\ud800-\udfff]")
_ASCII = "".join(map(chr, range(0x21, 0x7F)))
_JSON = json.JSONDecoder(strict=False)
_BLANK = "\ufeff \t\r\n"
_FAILURE = " FAILURE"
_WORDS: Mapping[str, Outcome] = {word.value: word for word in (Outcome.SUCCESS, Outcome.FAILURE, Outcome.ONGOING)}

_PLAIN = re.compile(r"[0-9A-Za-z_.~-]*")
_SHORT = 64
"""Bytes of a body that is likely to come again."""


def outgoing(
    *,
    gid: str,
    trans_type: str,
    branch: Branch,
    always_post: bool,
    branch_headers: Mapping[str, str],
    branch_type: bool,
    timeout: float,
    epoch: Callable[[], int] = no_epoch,
) -> Outgoing:
    """The call of a branch (contract 2.1, 2.2); `timeout` in seconds. The branch's url is not empty and has no problem.

    always_post: POST also when the payload is empty. branch_type: say the operation a second time, for old SDKs.
    """
    before, after = _around_gid(branch.branch_id, branch.op, trans_type, branch_type)
    query = f"{before}{_escape(gid)}{after}"
    method = "POST" if always_post or branch.payload else "GET"
    return new_outgoing(method, _stem(branch.url), _headers(branch_headers), branch.payload, timeout, epoch, query)


@lru_cache(maxsize=4096)
def _around_gid(branch_id: str, op: str, trans_type: str, branch_type: bool) -> tuple[str, str]:
    """Our parameters before the gid, and those after it."""
    op = _escape(op)
    old = f"&branch_type={op}" if branch_type else ""
    return f"branch_id={_escape(branch_id)}{old}&gid=", f"&op={op}&trans_type={_escape(trans_type)}"


@lru_cache(maxsize=4096)
def _escape(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else quote_plus(text)


@lru_cache(maxsize=1024)
def _stem(url: str) -> str:
    """The URL up to where our parameters begin: no fragment, only ASCII, and ? or & at its end."""
    stem = quote(url.partition("#")[0], safe=_ASCII)
    _, mark, query = stem.partition("?")
    return f"{stem}&" if query else stem if mark else f"{stem}?"


def _headers(given: Mapping[str, str]) -> Headers:
    if not given:
        return _HEADERS
    names = {name.lower() for name in given}
    return (*[header for header in _HEADERS if header[0].lower() not in names], *given.items())


def outcome_of(reply: Reply, *, words: bool) -> tuple[Outcome, str]:
    """How a participant answered, and its words, at most 1024 characters ("" for SUCCESS).

    words: search any body for ONGOING and FAILURE, as DTM does (contract 2.3); otherwise only a `dtm_result` or a
    bare word counts (contract, "Where this server differs", 3). The text of a FAILURE ends with that word; the
    others begin with the status.
    """
    read = _read_again if len(reply.body) <= _SHORT else _read
    return read(reply.status, reply.body, words)


def _read(status: int, body: bytes, words: bool) -> tuple[Outcome, str]:
    text = body.decode("utf-8", "replace").strip(_BLANK)
    outcome = _outcome(status, text, words)
    if outcome is Outcome.SUCCESS:
        return outcome, ""
    if outcome is Outcome.FAILURE:
        reason = "" if text == "FAILURE" else text.removesuffix(_FAILURE)
        return outcome, (reason[: ERROR_CHARS - len(_FAILURE)] + _FAILURE).lstrip()
    return outcome, f"{status} {text}"[:ERROR_CHARS].rstrip()


_read_again = lru_cache(maxsize=1024)(_read)


def _outcome(status: int, text: str, words: bool) -> Outcome:
    if words:
        if status == 425 or "ONGOING" in text:
            return Outcome.ONGOING
        if "FAILURE" in text:
            return Outcome.FAILURE
    if status in (425, 202):
        return Outcome.ONGOING
    if status == 409:
        return Outcome.FAILURE
    if not 200 <= status < 300:
        return Outcome.ERROR
    result = _result_in(text)
    return _WORDS.get(result, Outcome.ERROR) if isinstance(result, str) else Outcome.ERROR


def _result_in(text: str) -> object:
    """The value of `dtm_result` in a JSON object, or the bare word; SUCCESS when the body says nothing of the kind.

    The lenient reader of the standard library is wanted: a NaN beside it must not make a FAILURE unheard.
    """
    if text in ("ONGOING", "FAILURE"):
        return text
    if not text.startswith("{"):
        return "SUCCESS"
    try:
        body: dict[str, object] = _JSON.decode(text)
    except (ValueError, RecursionError):
        return "SUCCESS"
    return body.get("dtm_result", "SUCCESS")


def legal_header(name: str, value: str) -> bool:
    """Whether a client may have this header sent to participants.

    The name must be an RFC 9110 token and not one that the coordinator controls itself; the value has no control
    character but the tab, and can be encoded.
    """
    return bool(_TOKEN.fullmatch(name) and _VALUE.fullmatch(value)) and name.lower() not in _OWN_HEADERS


def url_problem(url: str) -> str | None:
    """What is wrong with a participant's URL, or None. Characters outside ASCII may stand in path and query only."""
    if len(url) > LONGEST_URL:
        return f"longer than {LONGEST_URL} characters"
    if _NOT_IN_URL.search(url):
        return "a space, a control character or half a character in it"
    try:
        split(url)
    except ValueError as problem:
        return str(problem)
    return None
