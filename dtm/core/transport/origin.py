"""Where a URL leads: scheme, host and port. Strictly read: two readers that disagree are a way past the rules."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache

_URL = re.compile(r"([^:/?#]*://[^/?#]*)([^#]*)")
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?P<port>:.*)?", re.DOTALL)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_PORT = re.compile(r":[0-9]{1,5}")
_DEFAULT_PORTS = {"http": 80, "https": 443}
LONGEST_NAME = 253
HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Origin:
    """An origin in canonical form: lower case, the port always known.

    host: a name, or an IP address (`literal`) without brackets. place: `host:port` as people write it. key: `place`
    with its scheme, one for each set of connections. header: the value of the Host header.
    """

    scheme: str
    host: str
    port: int
    literal: bool
    place: str
    key: str
    header: str


def split(url: str) -> tuple[Origin, str]:
    """The origin and the request target (path and query) of an absolute URL. ValueError: what is wrong with it."""
    match = _URL.match(url)
    if match is None:
        raise ValueError("not an absolute http or https URL")
    target = match[2]
    return _origin(match[1]), target if target.startswith("/") else f"/{target}"


@lru_cache(maxsize=4096)
def _origin(text: str) -> Origin:
    scheme, _, authority = text.partition("://")
    scheme = scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise ValueError("not an absolute http or https URL")
    if "@" in authority:
        raise ValueError("a user name or password in a URL is not allowed")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise ValueError("the host has misplaced brackets or colons")
    host, literal = _host(match["host"])
    port = _port(match["port"], _DEFAULT_PORTS[scheme])
    bracketed = f"[{host}]" if ":" in host else host
    place = f"{bracketed}:{port}"
    header = bracketed if port == _DEFAULT_PORTS[scheme] else place
    return Origin(scheme, host, port, literal, place, f"{scheme}://{place}", header)


def _host(text: str) -> tuple[str, bool]:
    """The host in lower case, and whether it is an IP address."""
    if not text:
        raise ValueError("the URL has no host")
    if text.startswith("["):
        try:
            if "%" in text:
                raise ValueError
            return str(ipaddress.IPv6Address(text[1:-1])), True
        except ValueError:
            raise ValueError(f"{text} is no IPv6 address (without a zone)") from None
    try:
        return str(ipaddress.IPv4Address(text)), True
    except ValueError:
        pass
    if not text.isascii():
        raise ValueError("the host has characters outside ASCII; write it in its xn-- form")
    if not _NAME.fullmatch(text) or len(text.rstrip(".")) > LONGEST_NAME:
        raise ValueError("the host is no valid name")
    return text.lower(), False


def _port(text: str | None, default: int) -> int:
    if text is None:
        return default
    port = int(text[1:]) if _PORT.fullmatch(text) else 0
    if not 1 <= port <= HIGHEST_PORT:
        raise ValueError("the port is not a number from 1 to 65535")
    return port
