"""Functions of users, where a plain one and one to be awaited are easily mistaken for each other."""

from __future__ import annotations

from collections.abc import Awaitable
from inspect import isawaitable, iscoroutine
from typing import TypeVar, cast

T = TypeVar("T")


def plain(result: T, owner: str, function: str) -> T:
    """What a plain function has given. TypeError: it is a coroutine, which nobody has run."""
    if isawaitable(result):
        if iscoroutine(result):
            result.close()  # else Python warns that nobody has
        raise TypeError(f"{owner} is not asynchronous, but {function} is: expected a plain function")
    return result


def awaitable(result: Awaitable[T], owner: str, function: str) -> Awaitable[T]:
    """What a function to be awaited has given. TypeError: it was a plain one."""
    if not isawaitable(cast(object, result)):
        raise TypeError(f"{owner} is asynchronous, but {function} is not: expected an async function")
    return result
