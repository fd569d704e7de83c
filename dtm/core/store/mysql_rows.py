"""Rows of a MySQL or MariaDB server as values; their keys are bytes there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dtm.core.store.base import KV
from dtm.core.store.mysql_pool import Row


def named(row: Sequence[Any]) -> Row:
    """A row with its gid as text."""
    row_id, gid, *others = row
    return row_id, gid.decode("utf-8", "replace"), *others


def entry(row: Row) -> KV:
    """An entry of the key-value area."""
    cat, key, *others = row
    return KV(cat.decode("utf-8", "replace"), key.decode("utf-8", "replace"), *others)
