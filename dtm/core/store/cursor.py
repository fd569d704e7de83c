"""Cursors of listings: opaque to callers, here the hexadecimal form of a JSON array."""

from __future__ import annotations

import orjson

from dtm.core.errors import InvalidRequest


def encode_cursor(*place: int | str) -> str:
    """The cursor that continues after `place`."""
    return orjson.dumps(place).hex()


def id_from_cursor(cursor: str) -> int:
    """The row id that a cursor of `scan` stands for. InvalidRequest when it is none."""
    match _place(cursor):
        case [int(row_id)]:
            return row_id
    raise _not_ours()


def key_from_cursor(cursor: str) -> tuple[str, str]:
    """The (cat, key) that a cursor of `kv_scan` stands for. InvalidRequest when it is none."""
    match _place(cursor):
        case [str(cat), str(key)]:
            return cat, key
    raise _not_ours()


def _place(cursor: str) -> object:
    try:
        return orjson.loads(bytes.fromhex(cursor))
    except ValueError as error:
        raise _not_ours() from error


def _not_ours() -> InvalidRequest:
    return InvalidRequest("", "expected a position that an earlier page gave out")
