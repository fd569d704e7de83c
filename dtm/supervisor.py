"""Several processes behind one port: one that watches, and the children that serve.

The parent opens no store and runs no event loop, so it can be forked at any time. It tells its children to stop by
closing a pipe, the lifeline, which also closes when it is killed itself; a child says by a pipe of its own that it is
ready, and, by its end, that it has died.
"""

from __future__ import annotations

import errno
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from dtm.core.errors import StartupError

log = logging.getLogger("dtm.supervisor")

PAUSE_FIRST, PAUSE_MOST = 0.1, 10.0
"""Seconds before a child that died is started again; doubled each time ..."""

STEADY = 10.0
"""... unless it had lived for so many seconds."""

Run = Callable[[int, Callable[[], None], int], None]
"""Serve as the child with this index until told to stop.

Call the function once ready; stop when the file descriptor, the lifeline, comes to its end, or on SIGTERM, said once or
more often. StartupError when it cannot start.
"""


@dataclass(slots=True)
class Child:
    """One place among the processes; `pid` is 0 while nobody has it, `start_at` (monotonic) then says until when."""

    index: int
    pid: int = 0
    pipe: int = -1
    born: float = 0.0
    ready: bool = False
    start_at: float = 0.0
    pause: float = field(default=PAUSE_FIRST)


class Supervisor:
    """Starts the children, starts those again that die, passes a signal on and waits for all of them."""

    def __init__(self, processes: int, run: Run) -> None:
        self._run = run
        self._children = [Child(index) for index in range(processes)]
        self._selector = selectors.DefaultSelector()
        self._lifeline, self._lifeline_end = os.pipe()
        self._heard, self._signals = socket.socketpair()
        self._told = False
        self._serving = False
        self._status = 0

    def watch(self, ready: Callable[[], None]) -> int:
        """Call `ready` once all are; return the exit status when all have ended."""
        self._hear_signals()
        self._start(self._children[0])  # alone at first: what is wrong with all of them is said once
        while any(child.pid for child in self._children) or not self._told:
            self._start_what_is_due()
            for key, _ in self._selector.select(self._until_next()):
                if key.data is None:
                    self._hear()
                else:
                    self._look_at(key.data)
            if not self._serving and not self._told and all(child.ready for child in self._children):
                self._serving = True
                ready()
        return self._status

    # Signals

    def _hear_signals(self) -> None:
        self._heard.setblocking(False)
        self._signals.setblocking(False)
        signal.set_wakeup_fd(self._signals.fileno(), warn_on_full_buffer=False)
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, _noted)
        self._selector.register(self._heard, selectors.EVENT_READ)

    def _hear(self) -> None:
        for _ in self._heard.recv(100):
            if self._told:
                self._kill_all()
            self._stop()

    def _stop(self) -> None:
        """Tell all children to drain."""
        self._told = True
        if self._lifeline_end >= 0:
            os.close(self._lifeline_end)
            self._lifeline_end = -1

    def _kill_all(self) -> None:
        self._status = 1
        for child in self._children:
            if child.pid:
                os.kill(child.pid, signal.SIGKILL)

    # Children

    @property
    def _may_start(self) -> bool:
        return not self._told and (self._serving or self._children[0].ready)

    def _until_next(self) -> float | None:
        """Seconds until a child is to be started; None: none is."""
        waiting = [child.start_at for child in self._children if not child.pid]
        return max(min(waiting) - time.monotonic(), 0) if waiting and self._may_start else None

    def _start_what_is_due(self) -> None:
        for child in self._children:
            if self._may_start and not child.pid and child.start_at <= time.monotonic():
                self._start(child)

    def _start(self, child: Child) -> None:
        reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            self._be(child, writing)
        os.close(writing)
        child.pid, child.pipe, child.born, child.ready = pid, reading, time.monotonic(), False
        self._selector.register(reading, selectors.EVENT_READ, child)

    def _be(self, child: Child, writing: int) -> None:
        """Be the child; never returns."""
        signal.set_wakeup_fd(-1)
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, signal.SIG_IGN)  # until the event loop hears them; the lifeline speaks meanwhile
        os.close(self._lifeline_end)
        for other in self._children:
            if other.pid:
                os.close(other.pipe)
        status = 1
        try:
            self._run(child.index, lambda: _say(writing), self._lifeline)
            status = 0
        except StartupError as error:
            status = 2
            for line in str(error).splitlines():
                sys.stderr.write(f"dtm: {line}\n")
        except BaseException:
            log.exception("process %d broke off", child.index)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _look_at(self, child: Child) -> None:
        """A child has said that it is ready, or has died."""
        if os.read(child.pipe, 1):
            child.ready = True
            return
        self._selector.unregister(child.pipe)
        os.close(child.pipe)
        _, waited = os.waitpid(child.pid, 0)
        status = os.waitstatus_to_exitcode(waited)
        pid, child.pid, child.ready = child.pid, 0, False
        if self._told:
            self._status = self._status or (1 if status else 0)
        elif not self._serving:
            self._status = status if status > 0 else 1
            self._stop()
        else:
            self._mourn(child, pid, status)

    def _mourn(self, child: Child, pid: int, status: int) -> None:
        now = time.monotonic()
        child.pause = PAUSE_FIRST if now - child.born >= STEADY else min(child.pause * 2, PAUSE_MOST)
        child.start_at = now + child.pause
        text = "process %d (pid %d) ended with status %d; started again in %.1f s"
        log.error(text, child.index, pid, status, child.pause)


def reserve(host: str, port: int) -> list[socket.socket]:
    """Sockets that hold a port for us (0: any free one) without listening, one for each address of `host`.

    StartupError when somebody listens there, or the host is none of ours.
    """
    held: list[socket.socket] = []
    try:
        for family, kind, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            if held:
                port = held[0].getsockname()[1]
            held.append(_held(family, kind, (address[0], port, *address[2:])))
    except OSError as error:
        if not held or error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):  # localhost without IPv6 will do
            for each in held:
                each.close()
            raise StartupError(f"cannot listen on {host}:{port}: {error}") from error
    return held


def _held(family: int, kind: int, place: tuple[Any, ...]) -> socket.socket:
    with socket.socket(family, kind) as trial:  # with SO_REUSEPORT at once, a stranger that listens would go unnoticed
        _bind(trial, place, socket.SO_REUSEADDR)
        free = (place[0], trial.getsockname()[1], *place[2:])
    held = socket.socket(family, kind)
    try:
        _bind(held, free, socket.SO_REUSEADDR, socket.SO_REUSEPORT)
    except OSError:
        held.close()
        raise
    return held


def _bind(sock: socket.socket, place: tuple[Any, ...], *options: int) -> None:
    for option in options:
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(place)


def _noted(signum: int, frame: FrameType | None) -> None:
    """The wake-up descriptor tells of it."""


def _say(writing: int) -> None:
    """Tell the parent that this child is ready; the pipe stays open, and closes when the child dies."""
    os.write(writing, b"r")
