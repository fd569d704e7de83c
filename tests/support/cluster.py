"""Several coordinators, each a process of its own, on one database."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from tests.support.client import FINAL, Client
from tests.support.coordinator import FAST, Coordinator
from tests.support.participants import Participants
from tests.support.waiting import until

T = TypeVar("T")
NAMES = ("a", "b", "c")
LONGEST_LEASE = 6
"""Seconds, with the settings of FAST: of a call of 3 s, its margin, and the half lease that it may take to begin."""


class Cluster:
    """Nodes by name; `store` is the address of their database, `extra` gives one of them other variables."""

    def __init__(self, folder: Path, store: str, extra: dict[str, dict[str, str]] | None = None, **more: str) -> None:
        settings = {**FAST, "DTM_STORE": store, **more}
        self.nodes: dict[str, Coordinator] = {}
        for name in NAMES:
            (folder / name).mkdir()
            self.nodes[name] = Coordinator(folder / name, **{**settings, **(extra or {}).get(name, {})})

    def __getitem__(self, name: str) -> Client:
        return self.nodes[name].client

    def __iter__(self) -> Iterator[Client]:
        return iter([node.client for node in self.nodes.values()])

    def any(self) -> Client:
        """A random node."""
        return random.choice(list(self))

    def kill(self, name: str) -> None:
        """kill -9."""
        self.nodes[name].kill()

    def pause(self, name: str) -> None:
        """SIGSTOP."""
        os.kill(self._pid(name), signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        os.kill(self._pid(name), signal.SIGCONT)

    def log(self, name: str) -> str:
        """What this node has logged."""
        return self.nodes[name].log.read_text()

    def until_all_final(self, gids: Iterable[str], within: float = 60) -> dict[str, str]:
        """Wait until all of these have ended; how."""
        return {gid: self["b"].until_final(gid, within) for gid in gids}

    def _pid(self, name: str) -> int:
        process = self.nodes[name].process
        assert process is not None
        return process.pid

    def __enter__(self) -> Cluster:
        try:
            self.nodes["a"].start()  # alone: the first one makes the tables
            with ThreadPoolExecutor(len(NAMES)) as pool:
                list(pool.map(lambda name: self.nodes[name].start(), NAMES[1:]))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: Any) -> None:
        for node in self.nodes.values():
            if node.process is not None:
                node.kill()


def at_once(*calls: Callable[[], T]) -> list[T]:
    """The results of calls that are made in threads, as near together as may be."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def saga(participants: Participants, gid: str, *names: str, **more: Any) -> dict[str, Any]:
    """A saga whose steps call these paths, and NAME-undo to compensate."""
    steps = [{"action": participants.url(name), "compensate": participants.url(f"{name}-undo")} for name in names]
    return {"gid": gid, "trans_type": "saga", "steps": steps, "payloads": ["{}"] * len(steps), **more}


def until_called(participants: Participants, gid: str, times: int = 1, within: float = 20) -> None:
    """Wait until a transaction has called its participants so many times."""
    until(lambda: len(participants.seen(gid)) >= times, within)


def ended(client: Client, gid: str) -> bool:
    """Whether a transaction has ended, by this node."""
    return client.status(gid) in FINAL
