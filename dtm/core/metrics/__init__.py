"""The figures of a coordinator, as Prometheus reads them. They are counted elsewhere, and looked at in here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from dtm.core.errors import DtmError
from dtm.core.metrics import families
from dtm.core.metrics.families import Parts
from dtm.core.metrics.siblings import Place, Siblings
from dtm.core.store.grouped import GroupedStore
from dtm.core.store.survey import Backlog


class Metrics(Collector):
    """One coordinator's page, with a registry of its own: there may be several coordinators in a process.

    place: which of several processes this is; its page then tells of all of them. None: it is the only one.
    """

    def __init__(self, parts: Parts, place: Place | None = None) -> None:
        self._parts = parts
        self._registry = CollectorRegistry()
        for standard in (ProcessCollector, PlatformCollector, GCCollector):
            standard(registry=self._registry)
        self._registry.register(self)
        self._siblings = None if place is None else Siblings(place, self._own)

    async def start(self) -> None:
        """Begin to look at the event loop, and to answer the other processes."""
        self._parts.lag.start()
        if self._siblings is not None:
            await self._siblings.start()

    async def stop(self) -> None:
        """The end of that."""
        self._parts.lag.stop()
        if self._siblings is not None:
            await self._siblings.stop()

    async def scrape(self) -> bytes:
        """The page, in the text format. The store is asked once; that it does not answer is one of the figures."""
        node = self._parts.node
        backlog = await self._ask()
        stored = _page(families.of_the_store(backlog, node.rules, node.store.now()))
        if self._siblings is None:
            return self._own() + stored
        return _page(await self._siblings.all()) + stored

    def collect(self) -> Iterator[Metric]:
        """Every family of this process."""
        parts, store = self._parts, self._parts.node.store
        yield from families.of_the_contract(parts)
        yield from families.of_the_node(parts)
        yield from families.of_calls(parts)
        if isinstance(store, GroupedStore):
            yield from families.of_commits(store)

    def _own(self) -> bytes:
        return generate_latest(self._registry)

    async def _ask(self) -> Backlog | None:
        store = self._parts.node.store
        try:
            _, backlog = await asyncio.gather(store.ping(), store.backlog())
        except DtmError:
            return None
        return backlog


def _page(metrics: Iterable[Metric]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Once(metrics))
    return generate_latest(registry)


class _Once(Collector):
    """Families that have been made already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def describe(self) -> list[Metric]:
        """Nothing: else registering would read them."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The families."""
        return self._metrics
