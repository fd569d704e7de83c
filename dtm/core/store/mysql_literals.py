"""Values in the statements for MySQL and MariaDB: hexadecimal, so that nothing has to be quoted."""

from __future__ import annotations

from functools import lru_cache

from dtm.core.errors import InvalidRequest


def blob(value: bytes) -> str:
    """Bytes, for binary columns."""
    return f"x'{value.hex()}'"


def text(value: str | bytes) -> str:
    """A text, as a string or in UTF-8. InvalidRequest when it is no Unicode."""
    if isinstance(value, str):
        value = utf8(value)
    return f"_utf8mb4 x'{value.hex()}'"


name = lru_cache(maxsize=100)(text)
"""A text that there are few different ones of."""


def utf8(value: str) -> bytes:
    """A text's bytes. InvalidRequest when it is no Unicode."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise InvalidRequest("", "cannot be stored: a text is no valid Unicode") from None
