"""The figures of a coordinator, as Prometheus reads them. They are counted elsewhere, and looked at in here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from dtm.core.errors import DtmError
from dtm.core.metrics import families
from dtm.core.metrics.families import Parts
from dtm.core.store.grouped import GroupedStore
from dtm.core.store.survey import Backlog


class Metrics(Collector):
    """One coordinator's page, with a registry of its own: there may be several coordinators in a process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._backlog: Backlog | None = None
        self._registry = CollectorRegistry()
        for standard in (ProcessCollector, PlatformCollector, GCCollector):
            standard(registry=self._registry)
        self._registry.register(self)

    async def scrape(self) -> bytes:
        """The page, in the text format. The store is asked once; that it does not answer is one of the figures."""
        self._backlog = await self._ask()
        return generate_latest(self._registry)

    async def _ask(self) -> Backlog | None:
        store = self._parts.node.store
        try:
            _, backlog = await asyncio.gather(store.ping(), store.backlog())
        except DtmError:
            return None
        return backlog

    def collect(self) -> Iterator[Metric]:
        """Every family of ours."""
        parts, store = self._parts, self._parts.node.store
        yield from families.of_the_contract(parts)
        yield from families.of_the_node(parts)
        yield from families.of_calls(parts)
        if isinstance(store, GroupedStore):
            yield from families.of_commits(store)
        yield from families.of_the_store(self._backlog, parts.node.rules, store.now())
