"""Ports for the servers that the tests start."""

from __future__ import annotations

import random
import socket
from pathlib import Path

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""Where Linux says which ports it gives to those who ask for any, and to the near ends of connections."""

_chance = random.SystemRandom()  # a seed must not make two processes of the tests choose alike
_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on, and that the system will give to nobody until a server has taken it."""
    lowest, highest = map(int, RANGE.read_text().split())
    choice = [*range(10_000, lowest), *range(highest + 1, 65_536)] or range(10_000, 65_536)
    while True:
        port = _chance.choice(choice)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
