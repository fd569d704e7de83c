"""The strings of a body that a row's branches need not repeat."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

SHARED_CHARS = 8
"""A shorter string is repeated."""


def distinct_strings(body: Any) -> dict[str, int]:
    """The longer strings among the body's values -> place, depth first, in document order. Not recursive: a body may
    be nested deeper than Python's stack.
    """
    places: dict[str, int] = {}
    stack: list[Iterator[Any]] = [iter((body,))]
    while stack:
        for value in stack[-1]:
            if isinstance(value, str):
                if len(value) >= SHARED_CHARS and value not in places:
                    places[value] = len(places)
            elif isinstance(value, (dict, MappingProxyType)):
                stack.append(iter(value.values()))
                break
            elif isinstance(value, (list, tuple)):
                stack.append(iter(value))
                break
        else:
            stack.pop()
    return places
