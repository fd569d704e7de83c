"""From the setting `store` to a store."""

from __future__ import annotations

import random

from dtm.core.clock import Clock
from dtm.core.errors import StartupError
from dtm.core.store.base import Store
from dtm.core.store.memory import MemoryStore
from dtm.core.store.sqlite import SqliteStore

EXPECTED = "expected sqlite:///FILE, sqlite:////ABSOLUTE/FILE, mysql://USER:PASSWORD@HOST:3306/DATABASE or memory://"


def open_store(
    url: str,
    *,
    clock: Clock | None = None,
    clock_offset: float = 0.0,
    rng: random.Random | None = None,
    db_timeout: float = 5.0,
) -> Store:
    """The store that a URL names, not opened yet. StartupError when it names none; the text repeats no secret of it."""
    scheme, separator, rest = url.partition("://")
    if not separator or not scheme.isalpha():
        raise StartupError(f"store: {EXPECTED}")
    if scheme == "memory" and not rest:
        return MemoryStore(clock=clock, clock_offset=clock_offset, rng=rng, db_timeout=db_timeout)
    if scheme == "sqlite" and len(rest) > 1 and rest.startswith("/") and not set(rest) & set("?#\0"):
        return SqliteStore(rest[1:], clock=clock, clock_offset=clock_offset, rng=rng, db_timeout=db_timeout)
    if scheme == "mysql":
        from dtm.core.store.mysql import MysqlStore  # noqa: PLC0415 - the driver takes a tenth of the start

        return MysqlStore(url, clock=clock, clock_offset=clock_offset, rng=rng, db_timeout=db_timeout)
    if scheme in ("memory", "sqlite"):
        raise StartupError(f"store: {EXPECTED}; {scheme} takes no parameters")
    raise StartupError(f"store: this version has the stores sqlite, mysql and memory, not {scheme!r}; {EXPECTED}")
