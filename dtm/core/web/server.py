"""The HTTP server: Tornado's, with limits that one bad client cannot talk it out of."""

from __future__ import annotations

import tornado.web
from tornado.httpserver import HTTPServer

MAX_BODY = 4 * 1024 * 1024
MAX_DROPPED = 64 * 1024 * 1024
MAX_HEADERS = 16 * 1024
IDLE_TIMEOUT = 75.0
BODY_TIMEOUT = 30.0


def make_server(
    application: tornado.web.Application, *, idle_timeout: float = IDLE_TIMEOUT, body_timeout: float = BODY_TIMEOUT
) -> HTTPServer:
    """Return a server that does not listen yet.

    `idle_timeout` (s): from the end of one request, or of connecting, until the next one's headers have all arrived.
    Headers that trickle in hold a connection no longer than saying nothing would. `body_timeout` (s): from the headers
    until the whole body has arrived. Past either, and above `MAX_HEADERS`, the connection is closed without a word.
    A request that is under way goes on when its client leaves.
    """
    return HTTPServer(
        application,
        xheaders=False,
        decompress_request=False,
        max_header_size=MAX_HEADERS,
        max_body_size=MAX_BODY,
        max_buffer_size=MAX_BODY + MAX_HEADERS,
        idle_connection_timeout=idle_timeout,
        body_timeout=body_timeout,
    )
