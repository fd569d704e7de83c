"""The statements of the key-value area, as `mysql_sql` makes those of transactions."""

from __future__ import annotations

from dtm.core.store.base import KV
from dtm.core.store.mysql_literals import blob, text, utf8
from dtm.core.store.mysql_sql import NOW

# ruff: noqa: S608 - every value goes through `text`, `blob` or the format `:d`

_KV_COLUMNS = "cat, `key`, value, version, created_at, updated_at"


def get(cat: str, key: str) -> str:
    """One entry."""
    return f"SELECT {_KV_COLUMNS} FROM dtm_kv WHERE {_entry(cat, key)}"


def scan(cat: str, after: tuple[str, str] | None, limit: int) -> str:
    """Entries in order."""
    conditions = ["true"]
    if cat:
        conditions.append(f"cat = {blob(utf8(cat))}")
    if after is not None:
        conditions.append(f"(cat, `key`) > ({blob(utf8(after[0]))}, {blob(utf8(after[1]))})")
    where = " AND ".join(conditions)
    return f"SELECT {_KV_COLUMNS} FROM dtm_kv WHERE {where} ORDER BY cat, `key` LIMIT {max(limit, 0)}"


def put(cat: str, key: str, value: str, expect: int, offset: int) -> str:
    """Write an entry by compare-and-set."""
    now = f"{NOW} + {offset}"
    if expect == 0:
        row = f"({blob(utf8(cat))}, {blob(utf8(key))}, {text(value)}, 1, {now}, {now})"
        return f"INSERT INTO dtm_kv ({_KV_COLUMNS}) VALUES {row} ON DUPLICATE KEY UPDATE cat = cat"
    return f"""
        UPDATE dtm_kv SET value = {text(value)}, version = version + 1, updated_at = {now}
        WHERE {_entry(cat, key)} AND version = {expect:d}"""


def delete(found: KV) -> str:
    """Delete an entry, but not one that somebody has made in its place since."""
    return f"DELETE FROM dtm_kv WHERE {_entry(found.cat, found.key)} AND created_at = {found.created_at:d}"


def _entry(cat: str, key: str) -> str:
    return f"cat = {blob(utf8(cat))} AND `key` = {blob(utf8(key))}"
