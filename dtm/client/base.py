"""What both clients share: the coordinators they know, and what an error of httpx means."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import urlsplit

import httpx

from dtm.client.flows import API, Lost, NotSent, Send, Wire

TIMEOUT = 30.0
CONNECT = 5.0
"""A machine that is gone does not refuse; so long until the next coordinator is tried."""
TRIES = 6

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL)


class BaseClient:
    """Knows one or more coordinators by their base urls.

    ValueError: there is none, one is no http url, or the token cannot stand in a header.
    """

    def __init__(self, url: str | Iterable[str], token: str, timeout: float, tries: int) -> None:
        urls = list(url) if isinstance(url, Iterable) and not isinstance(url, str) else [url]
        if token and not (isinstance(token, str) and re.fullmatch("[!-~]+", token)):
            raise ValueError("token: expected visible ASCII characters, with no white space or end of line among them")
        self.wire = Wire([base_url(each) for each in urls], token, tries)
        self._timeout = timeout

    def _timeouts(self, step: Send) -> httpx.Timeout:
        """How long this request may take, and how much of it the connecting."""
        seconds = self._timeout if step.most is None else min(self._timeout, step.most)
        return httpx.Timeout(seconds, connect=min(seconds, CONNECT))


def base_url(url: object) -> str:
    """The base url of a coordinator; `/api/dtmsvr`, which DTM's clients are told too, may be at its end. ValueError."""
    if isinstance(url, str):
        with suppress(ValueError):  # no port, or no IPv6 address
            parts = urlsplit(url)
            if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
                return url.rstrip("/").removesuffix(API).rstrip("/")
    raise ValueError(f"expected a url like http://127.0.0.1:36789, got {url!r}")


def trouble(error: Exception) -> NotSent | Lost:
    """What became of a request that has no reply."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return NotSent(text) if isinstance(error, _NOT_SENT) else Lost(text)
