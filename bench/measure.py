"""One measurement: put load on a subject, and see what it cost."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.load import Load, Result
from bench.processes import Process
from bench.subjects import Subject

PING_EVERY = 0.05


@dataclass(frozen=True, slots=True)
class Measured:
    """What one round has shown; `per` transaction: commits, redo (bytes), cpu:NAME (microseconds). rss in MiB.

    lag: how late a ping beside the load was answered, its 95th percentile in milliseconds.
    """

    result: Result
    per: Mapping[str, float]
    rss: float
    lag: float


def measure(subject: Subject, load: Load, participant: Process | None, url: str) -> Measured:
    """Run one load; `participant` with its `url` is counted as `participant`."""
    counted = dict(subject.processes)
    if participant is not None:
        counted["participant"] = participant
    cpu = {name: process.cpu() for name, process in counted.items()}
    written = subject.written()
    with Pings(subject.url) as pings:
        result = load.run(subject.url, url)
    n = result.transactions
    per = {name: (after - written[name]) / n for name, after in subject.written().items()}
    per |= {f"cpu:{name}": 1e6 * (process.cpu() - cpu[name]) / n for name, process in counted.items()}
    rss = max((process.rss() for process in subject.processes.values()), default=0.0)
    return Measured(result, per, rss, pings.late())


class Pings:
    """Asks a server for a sign of life, again and again, from a thread of its own."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc
        self._took: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Pings:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def late(self) -> float:
        """The 95th percentile in milliseconds."""
        took = sorted(self._took) or [0.0]
        return 1000 * took[int(0.95 * (len(took) - 1))]

    def _run(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        while not self._over.wait(PING_EVERY):
            began = time.perf_counter()
            connection.request("GET", "/api/ping")
            connection.getresponse().read()
            self._took.append(time.perf_counter() - began)
        connection.close()
