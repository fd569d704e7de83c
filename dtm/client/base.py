"""What both clients share: the coordinators they know, and what an error of httpx means."""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from dtm.client.flows import Lost, NotSent, Wire

TIMEOUT = 30.0
TRIES = 6

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL)


class BaseClient:
    """Knows one or more coordinators by their base urls. ValueError: there is none, or one is no http url."""

    def __init__(self, url: str | Sequence[str], token: str, tries: int) -> None:
        urls = [url] if isinstance(url, str) else list(url)
        for each in urls:
            if not each.startswith(("http://", "https://")):
                raise ValueError(f"expected a url like http://127.0.0.1:36789, got {each!r}")
        self.wire = Wire(urls, token, tries)


def trouble(error: Exception) -> NotSent | Lost:
    """What became of a request that has no reply."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return NotSent(text) if isinstance(error, _NOT_SENT) else Lost(text)
