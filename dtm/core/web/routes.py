"""The table of routes, and the API made of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dtm.core.config import Settings
from dtm.core.web import health, queries, schedule, topics, transactions
from dtm.core.web.api import Api, Route
from dtm.core.web.base import Context, Scrape
from dtm.core.web.door import Door
from dtm.core.web.metrics import Metrics, no_figures
from dtm.core.web.traffic import Traffic

if TYPE_CHECKING:
    from dtm.core.service import Service

ROUTES: tuple[Route, ...] = (
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


def make_api(
    service: Service,
    settings: Settings,
    routes: Iterable[Route] = ROUTES,
    *,
    door: Door | None = None,
    traffic: Traffic | None = None,
    scrape: Scrape = no_figures,
) -> Api:
    """Return the HTTP API over one service. scrape: makes the page of metrics."""
    routes = tuple(routes)
    traffic = Traffic() if traffic is None else traffic
    traffic.know(routes)
    return Api(Context(service, settings, Door() if door is None else door, traffic, scrape), routes)
