"""The page of metrics, read as Prometheus reads it."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families


def scrape(url: str, token: str = "") -> str:
    """The page of the coordinator at this URL."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request("GET", "/api/metrics", headers={"Authorization": f"Bearer {token}"} if token else {})
        reply = connection.getresponse()
        page = reply.read().decode()
        assert reply.status == 200, page
        assert reply.getheader("Content-Type", "").startswith("text/plain; version=0.0.4")
        return page
    finally:
        connection.close()


class Figures:
    """One page. `families` by name, as in the documentation; `value` of one series, 0 when it is not there."""

    def __init__(self, page: str) -> None:
        self.families: dict[str, Metric] = {}
        self._values: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in text_string_to_metric_families(page):
            self.families[family.name + ("_total" if family.type == "counter" else "")] = family
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                assert key not in self._values, f"twice: {key}"
                self._values[key] = sample.value

    def value(self, name: str, **labels: str) -> float:
        """Of the series with exactly these labels."""
        return self._values.get((name, frozenset(labels.items())), 0)

    def total(self, name: str, **labels: str) -> float:
        """The sum over all series that have these labels among theirs."""
        wanted = labels.items()
        return sum(value for (key, own), value in self._values.items() if key == name and wanted <= set(own))
