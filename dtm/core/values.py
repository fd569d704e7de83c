"""Frozen values, made and copied quickly: the hot path makes fifty of them per transaction.

A frozen dataclass fills its fields through `object.__setattr__`, one expensive call for each. Here a value begins its
life as a *twin*, of a class with the same slots that is not frozen, and joins its kind when it is complete.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, TypeVar

T = TypeVar("T")

_INIT = """
def __init__(self, {parameters}):
    {defaults}
    if type(self) is not kind:
        slow(self, {arguments})
        return
    set_class(self, twin)
    {fill}
    self.__class__ = kind
"""

_REPLACED = """
def replaced(value, /, {parameters}):
    new = create(twin)
    {fill}
    new.__class__ = kind
    return new
"""


def quick(kind: type[T]) -> type[T]:
    """Give a frozen dataclass with slots and no `__post_init__` an `__init__` that costs a third of its own.

    Those derived from it have the slow one.
    """
    known, scope = fields(kind), _scope(kind)  # type: ignore[arg-type]
    parameters, defaults = ["*"] if known[0].kw_only else [], ["pass"]
    for field in known:
        name = field.name
        if field.default_factory is not MISSING:
            scope |= {f"default_{name}": MISSING, f"make_{name}": field.default_factory}
            defaults.append(f"{name} = make_{name}() if {name} is missing else {name}")
        elif field.default is not MISSING:
            scope[f"default_{name}"] = field.default
        parameters.append(f"{name}=default_{name}" if f"default_{name}" in scope else name)
    source = _INIT.format(
        parameters=", ".join(parameters),
        defaults="; ".join(defaults),
        arguments=", ".join(f"{field.name}={field.name}" for field in known),
        fill="; ".join(f"self.{field.name} = {field.name}" for field in known),
    )
    scope["slow"] = kind.__init__
    kind.__init__ = _function(source, scope, like=kind.__init__)  # type: ignore[method-assign]
    return kind


def replacer(kind: type[T]) -> Callable[..., T]:
    """`dataclasses.replace` for one frozen dataclass with slots and no `__post_init__`, at an eighth of its cost.

    `__init__` is not run. TypeError on a name that is no field.
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    source = _REPLACED.format(
        parameters=", ".join(f"{name}=missing" for name in names),
        fill="; ".join(f"new.{name} = value.{name} if {name} is missing else {name}" for name in names),
    )
    replaced: Callable[..., T] = _function(source, _scope(kind))
    return replaced


def _scope(kind: type[Any]) -> dict[str, Any]:
    twin = type(kind.__name__, (), {"__slots__": kind.__slots__})
    set_class = object.__dict__["__class__"].__set__
    return {"create": object.__new__, "set_class": set_class, "missing": MISSING, "twin": twin, "kind": kind}


def _function(source: str, scope: dict[str, Any], like: Any = None) -> Any:
    """The function that a source defines; its text has only names of fields, as in what `dataclasses` itself runs."""
    exec(source, scope)  # noqa: S102 - see above
    function = scope["__init__" if like else "replaced"]
    if like:
        function.__qualname__, function.__annotations__ = like.__qualname__, like.__annotations__
    return function
