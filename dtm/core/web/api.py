"""The HTTP API, whichever server carries it: from a request to the handler that answers it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tornado.web import HTTPError

from dtm.core.web.base import BaseHandler, Context, Send
from dtm.core.web.requests import Request

Route = tuple[str, type[BaseHandler]]
"""A path, or the pattern of one with parentheses around what varies, and the class of its handlers."""


class Api:
    """Finds the handler of each request and has it answer; what goes wrong is answered in JSON."""

    def __init__(self, context: Context, routes: Iterable[Route]) -> None:
        routes = tuple(routes)
        self._context = context
        self._paths = {path: handler for path, handler in routes if "(" not in path}
        self._patterns = [(re.compile(path), handler) for path, handler in routes if "(" in path]

    def answer(self, request: Request, send: Send) -> None:
        """Begin to answer a request; `send` is called once, now or later."""
        handler, groups = self._found(request)
        handler(self._context, request, send).run(*groups)

    def _found(self, request: Request) -> tuple[type[BaseHandler], tuple[str, ...]]:
        if request.body is None:
            return TooLarge, ()
        handler = self._paths.get(request.path)
        if handler is not None:
            return handler, ()
        for pattern, handler in self._patterns:
            match = pattern.fullmatch(request.path)
            if match is not None:
                return handler, match.groups()
        return UnknownPath, ()


class UnknownPath(BaseHandler):
    """Everything else: 404, but a slash too many below /api/ is sent to where it meant to go."""

    def run(self, *groups: str) -> None:
        """Redirect or refuse, whatever the method."""
        path, query = self.request.path, self.request.query
        if not (path.startswith("/api/") and path.endswith("/")):
            self.write_error(HTTPError(404))
            return
        url = path.rstrip("/") + (f"?{query}" if query else "")
        self.finish(b"", 301 if self.request.method == "GET" else 307, Location=url)


class TooLarge(BaseHandler):
    """The body was larger than allowed and has been dropped; its sender is told, and hung up on."""

    def run(self, *groups: str) -> None:
        """Refuse, whatever the path and the method."""
        self.write_error(HTTPError(413))
