"""The base of all handlers: who may call, what a request looks like, and the one place where errors become replies."""

from __future__ import annotations

import hmac
import logging
import re
from asyncio import Future
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
import tornado.web

from dtm.core.config import Settings, Token
from dtm.core.errors import DtmError, Forbidden, InvalidRequest, StoreUnavailable, Unauthorized
from dtm.core.web.door import Door
from dtm.core.web.replies import SUCCESS, error_reply

if TYPE_CHECKING:
    from dtm.core.service import Service

logger = logging.getLogger(__name__)

MAX_DEPTH = 100
MAX_PAGE = 1000
INTEGER = re.compile(r"-?[0-9]{1,18}")


class BaseHandler(tornado.web.RequestHandler):
    """Parses, authorizes, replies. `public`: open without a token; `operator`: wants that role."""

    public: ClassVar[bool] = False
    operator: ClassVar[bool] = False

    def initialize(self, service: Service, settings: Settings, door: Door) -> None:
        """Take what the table of routes hands to every handler."""
        self.service = service
        self.config = settings
        self.door = door
        # Bodies are JSON whatever they are called. Left in place, the header would make Tornado parse a form first.
        self.request.headers.pop("Content-Type", None)

    def set_default_headers(self) -> None:
        """JSON, not to be kept by anybody, and no word about what serves it."""
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.clear_header("Server")

    def compute_etag(self) -> str | None:
        """Nothing here is worth a hash."""
        return None

    def prepare(self) -> None:
        """Refuse what comes too late; check the bearer token, if tokens are configured."""
        self.door.enter(self)
        if not (self.door.open or self.public):
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
        scheme, _, given = self.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return set()
        secret = given.strip().encode("latin1")
        return {token.role for token in tokens if hmac.compare_digest(token.token.encode(), secret)}

    def json_body(self) -> dict[str, Any]:
        """Return the body: one JSON object in UTF-8. Raises InvalidRequest."""
        body = self.request.body
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise InvalidRequest("", f"the body is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise InvalidRequest("", "the body must be a JSON object")
        if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _deeper_than(MAX_DEPTH, value):
            raise InvalidRequest("", f"the body is nested more than {MAX_DEPTH} levels deep")
        return value

    def text(self, name: str) -> str:
        """Return a query parameter's first value exactly as it was sent, "" when absent. Raises InvalidRequest."""
        values = self.request.query_arguments.get(name)
        try:
            return values[0].decode() if values else ""
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

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> Future[None]:
        """Send the reply. Behind a door that is shut, it is the last one on its connection."""
        if not self.door.open:
            self.set_header("Connection", "close")
        return super().finish(chunk)

    def on_finish(self) -> None:
        """The reply has been sent."""
        self.door.leave(self)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Say an error: the only place where one becomes a response."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        status, body = error_reply(error)
        self.set_status(status)
        if isinstance(error, Unauthorized):
            self.set_header("WWW-Authenticate", "Bearer")
        self.finish(body)

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Log what is our fault; what clients get wrong is theirs."""
        where = f"{self.request.method} {self.request.path}"
        if isinstance(value, DtmError) and value.http_status >= 500:
            logger.warning("%s: %s: %s", where, type(value).__name__, value)
        elif not isinstance(value, DtmError | tornado.web.HTTPError):
            logger.error("%s: unexpected error", where, exc_info=value)


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
        if not self.config.compat.get_writes:
            raise tornado.web.HTTPError(405)
        if self.request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise tornado.web.HTTPError(403)
        await self.change()


def _deeper_than(levels: int, value: Any) -> bool:
    """Whether containers are nested more than so many levels deep; without recursion."""
    here = [value]
    for _ in range(levels):
        children = (node.values() if isinstance(node, dict) else node for node in here)
        here = [child for group in children for child in group if isinstance(child, dict | list)]
        if not here:
            return False
    return True
