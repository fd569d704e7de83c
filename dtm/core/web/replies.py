"""Replies as bytes: bodies that every SDK reads in the same way (contract, section 0), and the heads before them."""

from __future__ import annotations

from email.utils import formatdate
from functools import lru_cache
from http.client import responses
from time import time
from typing import Any

import orjson
import tornado.web

from dtm.core.errors import Conflict, DtmError, InvalidRequest, NotYet, OtherContent
from dtm.core.web.requests import Request

JSON = "application/json; charset=utf-8"
SUCCESS = b'{"dtm_result":"SUCCESS"}'

WORDS = ("SUCCESS", "FAILURE", "ONGOING")
"""SDKs look for these words anywhere in a body, before or instead of parsing it."""

Headers = tuple[tuple[str, str], ...]


def reply_bytes(
    request: Request, status: int, body: bytes, content_type: str, headers: Headers, *, keep: bool
) -> bytes:
    """A whole reply, not to be kept by anybody, without a word about what serves it. ValueError: no fit header.

    headers: further ones, with `_` for the `-` in their names. keep: whether the connection lasts.
    """
    head = _head(status, content_type, headers)
    if not keep:
        connection = b"Connection: close\r\n"
    else:
        connection = b"" if request.version == "1.1" else b"Connection: Keep-Alive\r\n"
    sent = body if request.method != "HEAD" else b""
    return b"%b%b%bContent-Length: %d\r\n\r\n%b" % (head, _date(int(time())), connection, len(body), sent)


@lru_cache(maxsize=256)
def _head(status: int, content_type: str, headers: Headers) -> bytes:
    fields = (("Content-Type", content_type), ("Cache-Control", "no-store"), *headers)
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header with a line break")
    return "\r\n".join([f"HTTP/1.1 {status} {responses.get(status, 'Unknown')}", *lines, ""]).encode("latin-1")


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return f"Date: {formatdate(second, usegmt=True)}\r\n".encode("ascii")


def error_reply(error: BaseException | None) -> tuple[int, bytes]:
    """The HTTP status and the JSON body that say this error; an unexpected one tells nothing of itself."""
    body: dict[str, Any]
    if not isinstance(error, DtmError):
        status = error.status_code if isinstance(error, tornado.web.HTTPError) else 500
        body = {"message": "internal error" if status == 500 else responses.get(status, "error")}
        return status, orjson.dumps(body)
    text = _clean(str(error))
    body = {"message": text or responses[error.http_status]}
    if isinstance(error, Conflict):
        body = {"dtm_result": "FAILURE", "message": _failure(text)}
        if error.status is not None:
            body["status"] = error.status
        if isinstance(error, OtherContent):
            body["errors"] = [{"pointer": error.pointer, "message": text}]
    elif isinstance(error, NotYet):
        body = {"dtm_result": "ONGOING", "message": _ongoing(text)}
    elif isinstance(error, InvalidRequest):
        body["errors"] = [{"pointer": _clean(where), "message": _clean(what)} for where, what in error.errors]
    return error.http_status, _with_one_word(orjson.dumps(body), body.get("dtm_result"))


def _clean(text: str) -> str:
    """Show a lone surrogate, which no UTF-8 can carry, as an escape."""
    return text.encode(errors="backslashreplace").decode()


def _failure(text: str) -> str:
    """Messages of a FAILURE end with the word; it is not doubled."""
    if f" {text}".endswith(" FAILURE"):
        return text
    return f"{text} FAILURE" if text else "FAILURE"


def _ongoing(text: str) -> str:
    return text if text.startswith("ONGOING") else f"ONGOING: {text}" if text else "ONGOING"


def _with_one_word(body: bytes, own: str | None) -> bytes:
    """Let the raw body contain no result word but its own, whatever texts were quoted in it.

    The last letter becomes a JSON escape: who parses the body reads the same text, who searches the bytes finds
    nothing. (The last, so that overlapping words are broken too. Words stand in strings only, never in an escape.)
    """
    for word in WORDS:
        if word != own:
            body = body.replace(word.encode(), f"{word[:-1]}\\u{ord(word[-1]):04x}".encode())
    return body
