"""Writes docs/client.md from the docstrings of `dtm.client`: `make reference`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import dtm.client
import dtm.client.barrier
import dtm.client.web

PAGE = Path(__file__).with_name("client.md")

HEAD = """# The Python client

Written by `make reference` from the docstrings of `dtm.client`. `pip install ./packaging/dtm-client`, in a checkout,
has all of it (nothing is on PyPI yet). What a mode is good for is in [modes.md](modes.md), what the barrier does in
[barrier.md](barrier.md), whole services are in [examples](../examples).
An asynchronous class is given by what sets it apart: its methods are those of its counterpart, with `await`.
"""

TAIL = """
## What importing it costs

`import dtm.client` loads httpx and the standard library, no framework and no driver. `python3 -m bench.imports` takes
the figures of `python3 -X importtime`: httpx 111 ms, dtm.client 36 ms more (the least of seven runs, on the busy
two-core machine of the tests, Python 3.11).
"""

SECTIONS: dict[str, tuple[ModuleType, list[str]]] = {
    "Transactions": (
        dtm.client,
        ["Client", "Saga", "Msg", "Tcc", "NestedTcc", "Options", "Transaction", "Reply", "new_gid"],
    ),
    "Transactions, asynchronous": (dtm.client, ["AsyncClient", "AsyncSaga", "AsyncMsg", "AsyncTcc", "AsyncNestedTcc"]),
    "The barrier": (dtm.client.barrier, ["Barrier", "Guard", "create_table", "purge"]),
    "Participants": (dtm.client.web, ["participant"]),
    "Errors": (
        dtm.client,
        [
            "DtmError", "Failure", "Ongoing", "Conflict", "InvalidRequest", "Fault", "NotFound", "Unauthorized",
            "OutcomeUnknown", "Unreachable", "ParticipantError", "Duplicated",
        ],
    ),
}  # fmt: skip
"""Heading -> the module that has these names."""


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    for heading, (module, names) in SECTIONS.items():
        lines.append(f"## {heading}\n")
        for name in names:
            lines += described(name, getattr(module, name))
    return "\n".join(lines) + TAIL


def described(name: str, thing: Any) -> Iterator[str]:
    """A class with its public methods, or a function."""
    if not inspect.isclass(thing):
        yield f"### `{name}{signature(thing)}`\n\n{inspect.getdoc(thing)}\n"
        return
    yield f"### `{name}`\n\n{inspect.getdoc(thing)}\n"
    if issubclass(thing, Exception | dict):
        return
    if "__init__" in vars(thing):
        yield f"- `{name}{signature(thing.__init__)}`"
    for method, function in methods(thing, name.startswith("Async")):
        doc = (inspect.getdoc(function) or "").replace("\n", "\n  ").replace("\n  \n", "\n\n")
        yield f"- `.{method}{'' if isinstance(function, property) else signature(function)}`: {doc}"
    yield ""


def methods(thing: type, asynchronous: bool) -> Iterator[tuple[str, Any]]:
    """The public methods and properties, inherited ones too; of an asynchronous class only what it has beyond them."""
    for name in dict.fromkeys(
        name for each in thing.__mro__ if each.__module__.startswith("dtm.") for name in vars(each)
    ):
        value = inspect.getattr_static(thing, name)
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        public = not name.startswith("_") and (inspect.isfunction(function) or isinstance(function, property))
        if public and name not in INTERNAL and not (asynchronous and has_counterpart(thing, name)):
            yield name, function


INTERNAL = {"run", "body", "block", "done", "may_be_done", "excerpt"}
"""What the parts of the package ask of one another."""


def has_counterpart(thing: type, name: str) -> bool:
    """Whether the class that blocks has a method of this name."""
    return hasattr(getattr(dtm.client, thing.__name__.removeprefix("Async")), name)


def signature(function: Callable[..., Any]) -> str:
    """Its parameters as they are called, on one line, without self and annotations."""
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in ("self", "cls")
    ]
    return str(inspect.Signature(parameters))


if __name__ == "__main__":
    PAGE.write_text(page())
