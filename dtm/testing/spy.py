"""Watching a function that must be pure: which calls does it make that no pure function makes?"""

from __future__ import annotations

import builtins
import datetime
import gc
import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

MODULES = frozenset(
    ("time", "random", "_random", "posix", "os", "io", "_io", "socket", "_socket", "select", "secrets", "uuid",
     "logging", "subprocess", "urllib", "http", "sqlite3", "_sqlite3", "asyncio", "tornado")
)  # fmt: skip
"""Modules no function of which is pure."""

NOW = frozenset(("now", "utcnow", "today"))
IMPURE = frozenset(map(id, (builtins.open, builtins.print, builtins.input)))


def forbidden_calls(function: Callable[[], Any]) -> list[str]:
    """Call the function; the names of all impure functions that it called, in order, each once."""
    found: dict[str, None] = {}

    def profile(frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and (name := _impure(called)):
            found[name] = None
        elif event == "call" and (module := frame.f_globals.get("__name__", "").split(".")[0]) in MODULES:
            found[f"{module}.{frame.f_code.co_qualname}"] = None

    before, collecting = sys.getprofile(), gc.isenabled()
    gc.disable()  # what others left behind must not be cleared away in here
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(before)
        if collecting:
            gc.enable()
    return list(found)


def _impure(called: Any) -> str:
    """The name of a function of C that no pure function calls, else nothing."""
    owner = getattr(called, "__self__", None)
    name = getattr(called, "__name__", "")
    if id(called) in IMPURE:
        return name
    if isinstance(owner, type) and issubclass(owner, datetime.date) and name in NOW:
        return f"{owner.__name__}.{name}"
    if isinstance(owner, random.Random):
        return f"random.{name}"
    module = getattr(called, "__module__", None) or getattr(owner, "__name__", "")
    return f"{module}.{name}" if module in MODULES else ""
