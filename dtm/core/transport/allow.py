"""Which participants may be called: the configuration's `callbacks.allow`, checked on the address connected to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from dtm.core.transport.origin import HIGHEST_PORT

_Network = IPv4Network | IPv6Network

# Cloud metadata services live on link-local addresses; no participant lives on any of these.
_FORBIDDEN: tuple[_Network, ...] = tuple(
    ip_network(text) for text in ("169.254.0.0/16", "fe80::/10", "0.0.0.0/32", "::/128", "224.0.0.0/4", "ff00::/8")
)
_PATTERN = re.compile(r"(?P<host>\[[0-9a-f:.*?]+\]|[a-z0-9._*?-]+)(:(?P<port>[0-9]{1,5}|\*))?", re.IGNORECASE)


class CallbackPolicy:
    """The patterns of `callbacks.allow`: globs (`*`, `?`) of `host[:port]`, IP addresses or networks.

    None: everything but link-local, unspecified and multicast addresses. Those need a network or address of their
    own kind in the list: neither a glob nor `0.0.0.0/0` opens them. Raises ValueError naming a pattern that is bad.
    """

    def __init__(self, allow: Sequence[str] | None) -> None:
        self._all = allow is None
        self._networks: list[_Network] = []
        self._globs: list[tuple[re.Pattern[str], int | None]] = []
        for pattern in allow or ():
            try:
                self._networks.append(ip_network(pattern))
            except ValueError as problem:
                self._globs.append(_glob(pattern, problem))

    def permits(self, host: str, port: int, address: str) -> bool:
        """Whether `host` as written in a URL may be called at `port` now that it has led to this IP address."""
        ip = _unmapped(address)
        networks = [network for network in self._networks if ip in network]
        for forbidden in _FORBIDDEN:
            if ip in forbidden:
                return any(_within(network, forbidden) for network in networks)
        return self._all or bool(networks) or self._named(host, port)

    def never(self, host: str, port: int) -> bool:
        """Whether it is known already that `host` may not be called: only an address that is written out is."""
        try:
            return not self.permits(host, port, host)
        except ValueError:
            return False

    def _named(self, host: str, port: int) -> bool:
        return any(glob.fullmatch(host) and wanted in (None, port) for glob, wanted in self._globs)


def _unmapped(address: str) -> IPv4Address | IPv6Address:
    """The IPv4 address behind an IPv4-mapped IPv6 one, which the operating system would connect to."""
    ip = ip_address(address)
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip


def _within(network: _Network, outer: _Network) -> bool:
    return network.network_address in outer and network.broadcast_address in outer


def _glob(pattern: str, problem: ValueError) -> tuple[re.Pattern[str], int | None]:
    if "/" in pattern and "://" not in pattern:
        raise ValueError(f"callbacks.allow: {pattern!r} is no network: {problem}")
    match = _PATTERN.fullmatch(pattern)
    port = None if match is None or match["port"] in (None, "*") else int(match["port"])
    if match is None or (port is not None and not 1 <= port <= HIGHEST_PORT):
        raise ValueError(f"callbacks.allow: {pattern!r} is neither host[:port] nor a network such as 10.0.0.0/8")
    host = re.escape(match["host"].strip("[]")).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(host, re.IGNORECASE), port
