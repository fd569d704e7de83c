"""How large requests may be, and how long a client's connection may take."""

from __future__ import annotations

from dataclasses import dataclass

MAX_HEADERS = 16 * 1024
MAX_BODY = 4 * 1024 * 1024
MAX_DROPPED = 64 * 1024 * 1024
"""Bytes: of request line and headers; of a body; of one that is read and dropped, so that its sender hears of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds: from the end of a request to the next one's headers; from there to the end of its body."""

    idle_timeout: float
    body_timeout: float
