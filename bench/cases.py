"""The cases: what is put to load, one after the other. Each prints what it has seen."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from bench.load import Load
from bench.measure import measure
from bench.participants import hanging
from bench.processes import Process
from bench.rounds import COLUMNS, interleaved, ratio, say, show
from bench.subjects import BARE, SHIM, OnMariaDB, OnSqlite, Subject
from tests.support.mariadb import MariaDB

HANGING_CALLS = 30


@dataclass(frozen=True, slots=True)
class Bench:
    """What all cases share."""

    folder: Path
    subjects: list[Subject]
    participant: Process
    url: str
    rounds: int
    seconds: float

    def load(self, connections: int, shape: str = "saga", branches: int = 2) -> Load:
        """A load of the usual length."""
        return Load(connections, self.seconds, shape, branches)

    @property
    def coordinators(self) -> list[Subject]:
        """All but the bare handler."""
        return [subject for subject in self.subjects if subject.name != BARE]

    def of(self, name: str) -> Subject | None:
        """A subject by its name."""
        return next((subject for subject in self.subjects if subject.name == name), None)


def steady(bench: Bench, connections: list[int]) -> None:
    """Sagas of two branches with wait_result."""
    say(f"\nSagas of two branches, wait_result\n{COLUMNS}")
    for count in connections:
        load = bench.load(count)
        show(load, interleaved(bench.subjects, load, bench.rounds, bench.participant, bench.url))


def shapes(bench: Bench) -> None:
    """TCC (prepare, two registers, submit) and msg (prepare, submit); latencies are of single calls."""
    for shape in ("tcc", "msg"):
        say(f"\n{shape} of two branches\n{COLUMNS}")
        load = bench.load(20, shape)
        show(load, interleaved(bench.coordinators, load, bench.rounds, bench.participant, bench.url))


def long_sagas(bench: Bench) -> None:
    """A saga of 200 branches against a hundred of two: what a branch costs the coordinator must not grow."""
    say("\nProcessor time per branch in a saga of 200, over that in a saga of 2 (1.0: no cost grows)")
    for subject in bench.coordinators:
        if "dtm" not in subject.processes:
            continue
        costs: dict[int, list[float]] = {2: [], 200: []}
        for _ in range(bench.rounds):
            for branches, seen in costs.items():
                load = replace(bench.load(20), branches=branches)
                measured = measure(subject, load, bench.participant, bench.url)
                seen.append(measured.per["cpu:dtm"] / branches)
        ratios = [many / few for few, many in zip(costs[2], costs[200], strict=True)]
        say(f"{subject.name:18} {median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})")


def one_hangs(bench: Bench) -> None:
    """p99 of sagas while thirty others wait for a participant that holds each call for three seconds."""
    say(f"\np99 at c = 20 while {HANGING_CALLS} calls hang, over p99 without them")
    process, url = hanging(bench.folder)
    load = bench.load(20)
    try:
        for subject in bench.coordinators:
            ratios = []
            for _ in range(bench.rounds):
                calm = measure(subject, load, bench.participant, bench.url).result.p99
                waiting = Load(HANGING_CALLS, bench.seconds, "saga", 1)
                held = threading.Thread(target=waiting.run, args=(subject.url, url))
                held.start()
                ratios.append(measure(subject, load, bench.participant, bench.url).result.p99 / calm)
                held.join()
            say(f"{subject.name:18} {median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})")
    finally:
        process.stop()


def slow_disk(bench: Bench, delay_ms: float) -> None:
    """Rates with every fsync `delay_ms` slower, over those without, at c = 256."""
    shim = bench.folder / SHIM
    source = Path(__file__).with_name("fsync_delay.c")
    subprocess.run(
        ["cc", "-O2", "-shared", "-fPIC", "-o", str(shim), str(source), "-ldl"],
        check=True,
    )
    slow = {"LD_PRELOAD": str(shim), "BENCH_FSYNC_US": str(round(delay_ms * 1000))}
    say(f"\nRates at c = 256 with fsync {delay_ms:g} ms slower, over those without")
    pairs: list[tuple[Subject, Subject]] = []
    delayed = MariaDB(bench.folder / "slow-mariadb")
    if fast := bench.of("dtm sqlite"):
        pairs.append((fast, OnSqlite(bench.folder / "slow-sqlite", "slow sqlite", **slow)))
    if fast := bench.of("dtm mariadb"):
        delayed.folder.mkdir()
        with environment(slow):
            delayed.start()
        pairs.append((fast, OnMariaDB(bench.folder / "slow", delayed, "slow mariadb")))
    try:
        for fast, other in pairs:
            seen = interleaved([fast, other], bench.load(256), bench.rounds, bench.participant, bench.url)
            middle, low, high = ratio(seen[other.name], seen[fast.name])
            say(f"{fast.name:18} {middle:.2f} ({low:.2f}..{high:.2f})")
    finally:
        for _, other in pairs:
            other.stop()
        if delayed.process is not None:
            delayed.stop()


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Let what is started meanwhile see these variables."""
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
