"""What befalls the nodes and their database, one thread for each of them, so that several may be in trouble at once."""

from __future__ import annotations

import os
import random
import signal
import threading
from dataclasses import dataclass

from tests.support.coordinator import Coordinator
from tests.support.history import Recorder
from tests.support.mariadb import MariaDB
from tests.support.service import Service


@dataclass(frozen=True)
class Blow:
    """After `gap` seconds of peace: killed, told to stop, or paused, for `seconds`."""

    gap: float
    kind: str
    seconds: float


def blows_to_a_node(rng: random.Random, seconds: float, gap: float, lease: float) -> list[Blow]:
    """What befalls one node within so many seconds, with `gap` seconds of peace between two on average."""
    lasts = {"kill": (0, 2), "pause": (0.05, lease / 2), "long pause": (1.3 * lease, 2 * lease), "stop": (0, 1)}
    return _blows(rng, seconds, gap, lasts, weights=(5, 2, 2, 1))


def blows_to_the_database(rng: random.Random, seconds: float, gap: float) -> list[Blow]:
    """What befalls MariaDB."""
    return _blows(rng, seconds, gap, {"kill": (0, 1), "pause": (0.1, 4)}, weights=(2, 1))


def blows_to_a_service(rng: random.Random, seconds: float, gap: float, patience: float) -> list[Blow]:
    """What befalls one participant; `patience`: how long a coordinator waits for an answer."""
    return _blows(rng, seconds, gap, {"kill": (0, 2), "pause": (0.05, 2 * patience)}, weights=(3, 1))


def _blows(
    rng: random.Random, seconds: float, gap: float, lasts: dict[str, tuple[float, float]], weights: tuple[int, ...]
) -> list[Blow]:
    blows: list[Blow] = []
    while sum(blow.gap + blow.seconds for blow in blows) < seconds:
        (kind,) = rng.choices(list(lasts), weights) if blows else ["kill"]  # at least once, in however short a run
        blows.append(Blow(rng.uniform(0.2, 1.8) * gap, kind, rng.uniform(*lasts[kind])))
    return blows


class Nemesis:
    """Deals blows until it is told to stop; then everything runs again."""

    def __init__(self, recorder: Recorder) -> None:
        self.counts: dict[str, int] = {}
        self.failures: list[BaseException] = []
        self._recorder = recorder
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def strike_node(self, name: str, node: Coordinator, blows: list[Blow]) -> None:
        """Begin with a node."""
        self._begin(name, blows, node.kill, lambda: self._raise(node), lambda: node.process, node.terminate)

    def strike_service(self, name: str, service: Service, blows: list[Blow]) -> None:
        """Begin with a participant."""
        self._begin(name, blows, service.kill, service.start, lambda: service.process, service.kill)

    def strike_database(self, server: MariaDB, blows: list[Blow]) -> None:
        """Begin with the database."""
        self._begin("database", blows, server.kill, server.start, lambda: server.process, server.stop)

    def stop(self) -> None:
        """No more blows; return when everything runs again."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self.failures:
            raise self.failures[0]

    def _begin(self, name, blows, kill, start, process, terminate) -> None:
        def run() -> None:
            try:
                for blow in blows:
                    if self._over.wait(blow.gap):
                        return
                    self._deal(name, blow, kill, start, process, terminate)
            except BaseException as error:
                self.failures.append(error)

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _deal(self, name, blow, kill, start, process, terminate) -> None:
        self._recorder.befell(f"{name}: {blow.kind} for {blow.seconds:.1f} s")
        what = f"{name.partition(' ')[0]} {blow.kind}s"
        with self._lock:
            self.counts[what] = self.counts.get(what, 0) + 1
        if "pause" in blow.kind:
            pid = process().pid
            os.kill(pid, signal.SIGSTOP)
            self._over.wait(blow.seconds)
            os.kill(pid, signal.SIGCONT)
            return
        (terminate if blow.kind == "stop" else kill)()
        self._over.wait(blow.seconds)
        start()

    def _raise(self, node: Coordinator) -> None:
        """Start a node, as a supervisor does: again and again, for it refuses as long as there is no database."""
        while True:
            try:
                node.start()
            except AssertionError:
                node.port = 0  # somebody else may have taken it meanwhile
                continue
            return
