"""The base of all handlers: who may call, what a request looks like, and the one place where errors become replies."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote_to_bytes, urlsplit

import orjson
from tornado.web import HTTPError

from dtm.core.config import Settings, Token
from dtm.core.errors import DtmError, Forbidden, InvalidRequest, StoreUnavailable, Unauthorized
from dtm.core.service.intake import without_nulls
from dtm.core.web.door import Door
from dtm.core.web.replies import JSON, SUCCESS, error_reply, reply_bytes
from dtm.core.web.requests import Request
from dtm.core.web.traffic import Traffic

if TYPE_CHECKING:
    from dtm.core.service import Service

logger = logging.getLogger(__name__)

MAX_DEPTH = 100
MAX_PAGE = 1000
INTEGER = re.compile(r"-?[0-9]{1,18}")
METHODS = {name: name.lower() for name in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")} | {"HEAD": "get"}
SAFE = ("GET", "HEAD", "OPTIONS")

Send = Callable[[bytes, bool], None]
"""Sends an answer, head and all; whether the connection is kept after it."""

Scrape = Callable[[], Awaitable[bytes]]
"""Returns the whole page of figures, in the text format of Prometheus."""


@dataclass(frozen=True, slots=True)
class Context:
    """What all handlers of one API have in common."""

    service: Service
    settings: Settings
    door: Door
    traffic: Traffic
    scrape: Scrape


class BaseHandler:
    """Answers one request: parses, authorizes, replies. `public`: open without a token; `operator`: wants that role.

    A method of HTTP is a method with its name in small letters: plain, or a coroutine. HEAD is answered as GET, without
    the body (RFC 9110, 9.3.2).
    """

    public: ClassVar[bool] = False
    operator: ClassVar[bool] = False

    def __init__(self, context: Context, request: Request, send: Send) -> None:
        self.context = context
        self.service = context.service
        self.config = context.settings
        self.request = request
        self._send = send
        self._answered = False
        self._task: asyncio.Task[None]

    def run(self, *groups: str) -> None:
        """Begin to answer. `groups`: what varies in the path, as it was sent."""
        try:
            under_way = self._begun(groups)
        except Exception as error:
            self.write_error(error)
            return
        if under_way is not None:
            # Whoever is inside the door is held there, and its task with it: the event loop would not.
            self._task = asyncio.get_running_loop().create_task(self._ended(under_way))

    def _begun(self, groups: tuple[str, ...]) -> Coroutine[Any, Any, None] | None:
        request = self.request
        name = METHODS.get(request.method)
        if name is None:
            raise HTTPError(405)
        arguments = [_unquoted(group) for group in groups]
        if request.method not in SAFE and _from_a_page(request.headers):
            raise HTTPError(403)
        self.prepare()
        method = getattr(self, name, None)
        if method is None:
            raise HTTPError(405)
        under_way: Coroutine[Any, Any, None] | None = method(*arguments)
        return under_way

    async def _ended(self, under_way: Coroutine[Any, Any, None]) -> None:
        try:
            await under_way
        except (Exception, asyncio.CancelledError) as error:
            self.write_error(error)

    def prepare(self) -> None:
        """Refuse what comes too late; check the bearer token, if tokens are configured."""
        door = self.context.door
        door.enter(self)
        if not (door.open or self.public):
            raise StoreUnavailable("shutting down")
        tokens = self.config.auth
        if self.public or not isinstance(tokens, tuple):
            return
        roles = self._roles(tokens)
        if not roles:
            raise Unauthorized("a known bearer token is needed")
        if self.operator and "operator" not in roles:
            raise Forbidden("the operator role is needed")

    def _roles(self, tokens: tuple[Token, ...]) -> set[str]:
        scheme, _, given = self.request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return set()
        secret = given.strip().encode("latin1")
        return {token.role for token in tokens if hmac.compare_digest(token.token.encode(), secret)}

    def json_body(self) -> dict[str, Any]:
        """Return the body: one JSON object in UTF-8, its nulls dropped. Raises InvalidRequest."""
        body = self.request.body
        assert body is not None
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise InvalidRequest("", f"the body is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise InvalidRequest("", "the body must be a JSON object")
        if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _deeper_than(MAX_DEPTH, value):
            raise InvalidRequest("", f"the body is nested more than {MAX_DEPTH} levels deep")
        return without_nulls(value) if b"null" in body else value

    def text(self, name: str) -> str:
        """Return a query parameter's first value exactly as it was sent, "" when absent. Raises InvalidRequest."""
        try:
            return self.request.argument(name).decode()
        except UnicodeDecodeError:
            raise InvalidRequest(f"/{name}", f"{name} is not UTF-8") from None

    def integer(self, name: str) -> int | None:
        """Return a query parameter as a number, None when absent or empty. Raises InvalidRequest."""
        value = self.text(name)
        if value and not INTEGER.fullmatch(value):
            raise InvalidRequest(f"/{name}", f"convert to int error: {value}")
        return int(value) if value else None

    def limit(self) -> int:
        """Return how many rows the client wants: 100 unless it says, and 1 to 1000 in any case."""
        limit = self.integer("limit")
        return 100 if limit is None else min(max(limit, 1), MAX_PAGE)

    def reply(self, value: Mapping[str, Any]) -> None:
        """Answer 200 with a value."""
        self.finish(orjson.dumps(value))

    def succeed(self) -> None:
        """Answer 200: the commit that this request was about has happened."""
        self.finish(SUCCESS)

    def finish(self, body: bytes, status: int = 200, content_type: str = JSON, **headers: str) -> None:
        """Send the answer, once. Behind a door that is shut, it is the last one on its connection.

        headers: further ones, with `_` for the `-` in their names.
        """
        if self._answered:
            raise RuntimeError("answered twice")
        request, context = self.request, self.context
        keep = request.keep_alive and context.door.open and request.body is not None
        answer = reply_bytes(request, status, body, content_type, tuple(headers.items()), keep=keep)
        self._answered = True
        self._send(answer, keep)
        self._count(status)
        context.door.leave(self)

    def _count(self, status: int) -> None:
        """Count the request; one line for it at DEBUG."""
        request = self.request
        took = perf_counter() - request.began
        self.context.traffic.count(type(self), status, took)
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%d %s %s %.1f ms", status, request.method, request.path, 1000 * took)

    def write_error(self, error: BaseException) -> None:
        """Say an error: the only place where one becomes a response."""
        self._log_error(error)
        if self._answered:
            return
        status, body = error_reply(error)
        if isinstance(error, Unauthorized):
            self.finish(body, status, WWW_Authenticate="Bearer")
        else:
            self.finish(body, status)

    def _log_error(self, error: BaseException) -> None:
        """Log what is our fault; what clients get wrong is theirs."""
        where = f"{self.request.method} {self.request.path}"
        if isinstance(error, DtmError) and error.http_status >= 500:
            logger.warning("%s: %s: %s", where, type(error).__name__, error)
        elif not isinstance(error, DtmError | HTTPError):
            logger.error("%s: unexpected error", where, exc_info=error)


class HistoricalGet(BaseHandler):
    """A change whose historical form is a GET (`compat.get_writes`); the same by POST is always there."""

    operator = True

    async def change(self) -> None:
        """Carry the change out and reply."""
        raise NotImplementedError

    async def post(self) -> None:
        """Change something, the proper way."""
        await self.change()

    async def get(self) -> None:
        """Change something as old clients do, unless switched off. Never because some web page said so."""
        if not self.config.compat.get_writes or self.request.method == "HEAD":
            raise HTTPError(405)
        if self.request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise HTTPError(403)
        await self.change()


def _from_a_page(headers: Mapping[str, str]) -> bool:
    """Whether another origin's web page sends this: it must not post to a coordinator on its reader's loopback."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")  # all that browsers without Sec-Fetch-Site say
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


def _unquoted(group: str) -> str:
    """A part of the path as it was meant: percent signs resolved, UTF-8. Raises HTTPError."""
    try:
        return unquote_to_bytes(group.encode("latin-1")).decode()
    except UnicodeDecodeError:
        raise HTTPError(400) from None


def _deeper_than(levels: int, value: Any) -> bool:
    """Whether containers are nested more than so many levels deep; without recursion."""
    here = [value]
    for _ in range(levels):
        children = (node.values() if isinstance(node, dict) else node for node in here)
        here = [child for group in children for child in group if isinstance(child, dict | list)]
        if not here:
            return False
    return True
