"""When to try again: pure arithmetic in seconds; the random number is given (contract 3.6, architecture 5.7)."""

from __future__ import annotations

JITTER = 0.1
QUICK_FIRST = 0.1
UNSENT_FIRST = 0.5


def base_interval(retry_interval: float, timeout_to_fail: float, default: float) -> float:
    """B: the transaction's own interval, else a shorter time-out of its own, else the server's."""
    if retry_interval > 0:
        return retry_interval
    if 0 < timeout_to_fail < default:
        return timeout_to_fail
    return default


def interval(base: float, attempts: int, cap: float) -> float:
    """Wait after the `attempts`-th ERROR: B * 2^attempts, at most max(cap, 2B). No error, no doubling: B."""
    return min(base * 2.0 ** min(attempts, 60), max(cap, 2 * base)) if attempts else base


def unsent_interval(base: float, attempts: int) -> float:
    """Wait after an error before any byte was sent: 0.5, 1, 2 ... up to B."""
    return min(base, UNSENT_FIRST * 2.0 ** min(max(attempts, 1) - 1, 60))


def quick_interval(base: float, attempts: int) -> float:
    """Wait before a quick try within the same pass: 0.1, 0.2, 0.4 ... up to B."""
    return min(base, QUICK_FIRST * 2.0 ** min(max(attempts, 1) - 1, 60))


def jittered(wait: float, random: float) -> float:
    """Shorten a wait by at most a tenth, so that a herd spreads out and the cap still holds; `random` is in [0, 1)."""
    return wait * (1 - JITTER * random)
