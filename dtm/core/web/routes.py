"""The table of routes, and the application made of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import tornado.web
from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPServerRequest
from tornado.routing import Matcher, PathMatches, Rule

from dtm.core.config import Settings
from dtm.core.web import health, queries, schedule, topics, transactions
from dtm.core.web.base import BaseHandler
from dtm.core.web.connection import Connection
from dtm.core.web.door import Door
from dtm.core.web.metrics import Metrics, Scrape, no_figures
from dtm.core.web.server import MAX_BODY, MAX_DROPPED
from dtm.core.web.traffic import Traffic

if TYPE_CHECKING:
    from dtm.core.service import Service

logger = logging.getLogger(__name__)

Route = tuple[str, type[BaseHandler]]

ROUTES: tuple[Route, ...] = (
    # Tornado tries one after the other, so what is called most stands first.
    ("/api/dtmsvr/submit", transactions.Submit),
    ("/api/dtmsvr/newGid", transactions.NewGid),
    ("/api/dtmsvr/prepare", transactions.Prepare),
    ("/api/dtmsvr/register([A-Za-z]*)Branch", transactions.RegisterBranch),
    ("/api/dtmsvr/abort", transactions.Abort),
    ("/api/dtmsvr/query", queries.Query),
    ("/api/dtmsvr/all", queries.All),
    ("/api/dtmsvr/forceStop", transactions.ForceStop),
    ("/api/dtmsvr/subscribe", topics.Subscribe),
    ("/api/dtmsvr/unsubscribe", topics.Unsubscribe),
    ("/api/dtmsvr/topic/([^/]+)", topics.Topic),
    ("/api/dtmsvr/scanKV", topics.ScanKV),
    ("/api/dtmsvr/queryKV", topics.QueryKV),
    ("/api/dtmsvr/resetCronTime", schedule.ResetCronTime),
    ("/api/dtmsvr/resetNextCronTime", schedule.ResetNextCronTime),
    ("/api/dtmsvr/version", health.Version),
    ("/api/ping", health.Ping),
    ("/api/metrics", Metrics),
    ("/healthz", health.Healthz),
    ("/readyz", health.Readyz),
)


def make_application(
    service: Service,
    settings: Settings,
    routes: Iterable[Route] = ROUTES,
    *,
    door: Door | None = None,
    traffic: Traffic | None = None,
    scrape: Scrape = no_figures,
) -> tornado.web.Application:
    """Return the HTTP API over one service; whatever goes wrong in it or beside it is answered in JSON.

    scrape: makes the page of metrics.
    """
    context = {"service": service, "settings": settings, "door": Door() if door is None else door}
    routes = tuple(routes)
    traffic = Traffic() if traffic is None else traffic
    traffic.know(routes)
    rules = [Rule(AnnouncedTooLarge(), TooLarge, context)]
    rules += [Rule(PathMatches(path), handler, context) for path, handler in routes]
    return tornado.web.Application(
        rules,
        default_handler_class=UnknownPath,
        default_handler_args=context,
        log_function=partial(_log, traffic),
        scrape=scrape,
        cross_origin_protection=True,  # a web page must not post to a coordinator on its reader's loopback
    )


class UnknownPath(BaseHandler):
    """Everything else: 404, but a slash too many below /api/ is sent to where it meant to go."""

    public = True

    def prepare(self) -> None:
        """Redirect or refuse, whatever the method."""
        path, query = self.request.path, self.request.query
        if not (path.startswith("/api/") and path.endswith("/")):
            raise tornado.web.HTTPError(404)
        url = path.rstrip("/") + (f"?{query}" if query else "")
        self.redirect(url, status=301 if self.request.method == "GET" else 307)


class AnnouncedTooLarge(Matcher):
    """Matches a Content-Length above the limit.

    What is absurd, makes no sense, or grows too large in chunks, is left to Tornado: a bare 400 and hanging up.
    """

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Look at the announced length."""
        length = request.headers.get("Content-Length", "")
        return {} if length.isdecimal() and len(length) < 10 and MAX_BODY < int(length) <= MAX_DROPPED else None


@tornado.web.stream_request_body
class TooLarge(BaseHandler):
    """Reads and drops such a body, so that its sender comes to hear the refusal, and hangs up."""

    public = True

    def prepare(self) -> None:
        """Let the body come."""
        self._connection.set_max_body_size(MAX_DROPPED)

    def data_received(self, chunk: bytes) -> None:
        """Drop it."""

    def refuse(self, *args: str) -> None:
        """Refuse, whatever the method."""
        raise tornado.web.HTTPError(413)

    get = head = post = put = delete = patch = options = refuse

    def on_finish(self) -> None:
        """Hang up."""
        self._connection.close()

    @property
    def _connection(self) -> HTTP1Connection | Connection:
        connection = self.request.connection
        assert isinstance(connection, HTTP1Connection | Connection)
        return connection


def _log(traffic: Traffic, handler: tornado.web.RequestHandler) -> None:
    """Count the request; one line for it at DEBUG, and for those that went wrong here."""
    took = handler.request.request_time()
    traffic.count(type(handler), handler.get_status(), took)
    level = logging.WARNING if handler.get_status() >= 500 else logging.DEBUG
    if logger.isEnabledFor(level):
        request = handler.request
        logger.log(level, "%d %s %s %.1f ms", handler.get_status(), request.method, request.path, 1000 * took)
