"""How long a client's connection may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds: from the end of a request to the next one's headers; from there to the end of its body."""

    idle_timeout: float
    body_timeout: float
