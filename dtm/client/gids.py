"""Gids made here: no round trip, unique without asking anybody, and in the order of time."""

from __future__ import annotations

import secrets
import threading
import time

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: digits and letters in ASCII order, none that is easily mistaken for another."""

CHARS = 26
RANDOM_BITS = 80
STEP_BITS = 64
"""Within one millisecond the random part goes up by up to 2 ** 64: still unguessable, and in order."""

_lock = threading.Lock()
_last = 0


def new_gid() -> str:
    """A gid of 26 characters: 48 bits of milliseconds since 1970, 80 bits of chance (a ULID).

    Each is greater than the one before it in this process, also when the clock is set back.
    """
    global _last  # noqa: PLW0603 - the process has one last gid
    now = time.time_ns() // 1_000_000 << RANDOM_BITS
    with _lock:
        if _last < now:
            _last = now | secrets.randbits(RANDOM_BITS)
        else:
            _last += 1 + secrets.randbits(STEP_BITS)
        value = _last
    return "".join(ALPHABET[value >> shift & 31] for shift in range(5 * (CHARS - 1), -1, -5))
