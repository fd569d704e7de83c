"""Composition root: settings in, everything wired, started and stopped in order."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import socket
from collections import defaultdict
from collections.abc import Callable, Sequence

from tornado.netutil import bind_sockets

from dtm.core import registry
from dtm.core.alerts import Alerts
from dtm.core.clock import Clock, SystemClock
from dtm.core.config import Settings
from dtm.core.discovery import builtin_modules
from dtm.core.errors import StartupError
from dtm.core.hookspecs import Event
from dtm.core.logs import about
from dtm.core.metrics import Metrics
from dtm.core.metrics.events import Events
from dtm.core.metrics.families import Parts
from dtm.core.metrics.lag import LoopLag
from dtm.core.metrics.siblings import Place
from dtm.core.node import Node
from dtm.core.passes import Passes
from dtm.core.retention import Retention
from dtm.core.row import Rules
from dtm.core.scheduler import Scheduler
from dtm.core.schemas import Schemas
from dtm.core.service import Service
from dtm.core.service.intake import Reader
from dtm.core.store.base import Store
from dtm.core.store.factory import open_store
from dtm.core.store.survey import total
from dtm.core.transport.allow import CallbackPolicy
from dtm.core.transport.base import Transport
from dtm.core.transport.http import HttpTransport
from dtm.core.transport.slots import Slots
from dtm.core.web.door import Door
from dtm.core.web.routes import make_api
from dtm.core.web.server import Server, make_server
from dtm.core.web.traffic import Traffic

log = logging.getLogger(__name__)

GC_THRESHOLDS = (10_000, 20, 20)
"""A request leaves few cycles behind, and Python's defaults look for them a hundred times a second under load."""


def load_registry(settings: Settings, schemas: Schemas) -> registry.Registry:
    """All plugins that these settings allow; StartupError on every fault among them."""
    return registry.load(settings, builtin_modules(), schemas)


def observing(observers: Sequence[Callable[[Event], None]]) -> Callable[[Event], None]:
    """One function that tells all observers; an error in one of them is logged and reaches no pass."""

    def observe(event: Event) -> None:
        for observer in observers:
            try:
                observer(event)
            except Exception:
                log.exception("an observer failed: gid=%s", event.gid, extra=about(event.gid))

    return observe


class App:
    """One coordinator. `start()` makes it serve, `stop()` drains it; in between it is the parts named here.

    clock_offset: seconds added to the store's time, for tests. store and transport replace the configured ones.
    place: which of several processes this is, that share a port.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock_offset: float = 0.0,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        store: Store | None = None,
        transport: Transport | None = None,
        place: Place | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.schemas = Schemas()
        self.registry = load_registry(settings, self.schemas)
        rng = rng or random.Random()  # noqa: S311 - jitter and tags
        self.store = store or open_store(
            settings.store, clock=self.clock, clock_offset=clock_offset, rng=rng, db_timeout=settings.db_timeout
        )
        try:
            policy = CallbackPolicy(settings.callbacks_allow)
        except ValueError as error:
            raise StartupError(str(error)) from error
        self.transport = transport or HttpTransport(allow=policy)
        self.alerts = self._alerts()
        self.events = Events(settings.alert_retry_limit)
        self.node = self._node(rng)
        self.passes = Passes(self.node)
        self.scheduler = Scheduler(self.node, self.passes)
        days = settings.retention_finished_days
        self.retention = None if days is None else Retention(self.node, days)
        self.service = self._service()
        self.door = Door()
        self.traffic = Traffic()
        lag = LoopLag()
        self.metrics = Metrics(
            Parts(self.node, self.passes, self.scheduler, self.door, self.traffic, self.events, lag), place
        )
        self.server: Server | None = None
        self.port = settings.port

    def _node(self, rng: random.Random) -> Node:
        settings = self.settings
        rules = {
            name: Rules(
                protocol=registered.protocol,
                settings=registered.settings,
                retry_interval=settings.retry_interval,
                retry_interval_max=settings.retry_interval_max,
                request_timeout=settings.request_timeout,
                timeout_to_fail=settings.timeout_to_fail,
            )
            for name, registered in self.registry.enabled.items()
        }
        return Node(
            store=self.store,
            transport=self.transport,
            slots=Slots(settings.calls_per_host),
            clock=self.clock,
            rules=rules,
            rng=rng,
            lease=settings.lease,
            poll_interval=settings.poll_interval,
            write_behind=settings.write_behind,
            branch_type=settings.compat.branch_type,
            reply_words=settings.compat.reply_words,
            observe=observing((self.events, *self.registry.observers, *self.alerts)),
        )

    def _service(self) -> Service:
        return Service(
            self.node,
            self.passes,
            Reader(self.registry.enabled, self.schemas),
            timeout_to_fail=self.settings.timeout_to_fail,
            attempts=self.settings.alert_retry_limit,
        )

    def _alerts(self) -> list[Alerts]:
        if not self.settings.alert_webhook:
            return []
        everywhere = CallbackPolicy(["*"])  # the operator's own choice of address
        return [Alerts(HttpTransport(allow=everywhere), self.settings.alert_webhook, self.settings.alert_retry_limit)]

    async def start(self, *, allow_orphans: bool = False, serve: bool = True, schedule: bool = True) -> None:
        """Open the store, claim what is due, take requests. StartupError leaves nothing open."""
        await self.store.open()
        try:
            if not allow_orphans:
                await self._refuse_orphans()
            if schedule and (released := await self.store.release()):
                log.warning("%d transactions in quarantine are tried again", released)
            await self.metrics.start()
            if serve:
                await self._listen()
        except BaseException:
            await self.metrics.stop()
            await self.store.close()
            raise
        if schedule:
            self.scheduler.start()
            if self.retention is not None:
                self.retention.start()
        gc.collect()
        gc.freeze()  # what has been loaded by now stays; the collector need not look at it again
        gc.set_threshold(*GC_THRESHOLDS)

    async def _refuse_orphans(self) -> None:
        needed = await self.store.unfinished_versions()
        registry.refuse_versions(self.registry.enabled, needed)
        if {trans_type for trans_type, _ in needed} <= self.registry.enabled.keys():
            return
        orphans: defaultdict[str, list[int]] = defaultdict(list)
        for (trans_type, _), found in (await self.store.backlog()).kinds.items():
            if trans_type not in self.registry.enabled:
                orphans[trans_type].append(found.count)
        if orphans:
            what = ", ".join(f"{total(counts)} of {name!r}" for name, counts in sorted(orphans.items()))
            raise StartupError(
                f"the store holds unfinished transactions of protocols that are not enabled: {what}; "
                "enable them, or start with --allow-orphans to leave them alone"
            )

    async def _listen(self) -> None:
        settings = self.settings
        host, port = settings.host, settings.port
        try:
            sockets = bind_sockets(port, address=host, reuse_port=settings.processes > 1)
        except (OSError, socket.gaierror) as error:
            raise StartupError(f"cannot listen on {host}:{port}: {error}") from error
        self.port = sockets[0].getsockname()[1]
        api = make_api(self.service, settings, door=self.door, traffic=self.traffic, scrape=self.metrics.scrape)
        self.server = make_server(api, settings.http_server)
        await self.server.serve(sockets)

    async def stop(self) -> None:
        """Accept nothing new, let calls land within the grace, park, let go of everything (law 5.13)."""
        self.door.shut()
        if self.server is not None:
            self.server.stop()
        ending = [self.scheduler.stop(self.settings.shutdown_grace)]
        if self.retention is not None:
            ending.append(self.retention.stop())
        await asyncio.gather(*ending)
        if self.server is not None:
            await self._hang_up(self.server)
        await self.passes.drain(0)  # what the last requests have started meanwhile
        await self.metrics.stop()
        for alerts in self.alerts:
            await alerts.close()
        await self.transport.close()
        await self.store.close()

    async def _hang_up(self, server: Server) -> None:
        """Close all connections, once those who wait have been answered: by now only the store can hold them up."""
        if not await self.door.emptied(self.settings.db_timeout):
            log.warning("%d requests were cut off", self.door.inside)
        try:
            async with asyncio.timeout(self.settings.shutdown_grace):
                await server.close_all_connections()
        except TimeoutError:
            log.warning("some connections would not close")
