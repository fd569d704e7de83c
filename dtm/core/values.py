"""Frozen values, made and copied quickly: the hot path makes fifty of them per transaction.

A frozen dataclass fills its fields through `object.__setattr__`, one expensive call for each. Here a value begins its
life as a *twin*, of a class with the same slots that is not frozen, and joins its kind when it is complete.

The core makes those of its values that are made most by a function, `new_...`; `quick` is for what plugins make too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
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

_MADE = """
def made({parameters}):
    {defaults}
    new = twin()
    {fill}
    new.__class__ = kind
    return new
"""

_REPLACED = """
def replaced(value, /, {parameters}):
    new = twin()
    {fill}
    new.__class__ = kind
    return new
"""


def quick(kind: type[T]) -> type[T]:
    """Give a frozen dataclass with slots and no `__post_init__` an `__init__` that costs a third of its own.

    Those derived from it have the slow one.
    """
    scope, parameters, defaults = _signature(kind)
    names = _names(kind)
    source = _INIT.format(
        parameters=parameters,
        defaults=defaults,
        arguments=", ".join(f"{name}={name}" for name in names),
        fill="; ".join(f"self.{name} = {name}" for name in names),
    )
    init = kind.__init__
    scope["slow"] = init
    made = _function("__init__", source, scope)
    made.__qualname__, made.__annotations__ = init.__qualname__, init.__annotations__
    kind.__init__ = made  # type: ignore[method-assign]  # as `dataclass` itself does, which mypy knows by name
    return kind


def maker(kind: Callable[P, T]) -> Callable[P, T]:
    """What calling such a class does, as a plain function: Python calls one at half the cost of the other."""
    scope, parameters, defaults = _signature(kind)
    fill = "; ".join(f"new.{name} = {name}" for name in _names(kind))
    made: Callable[P, T] = _function("made", _MADE.format(parameters=parameters, defaults=defaults, fill=fill), scope)
    return made


def replacer(kind: type[T], *always: str) -> Callable[..., T]:
    """`dataclasses.replace` for one such class, at an eighth of its cost. `__init__` is not run.

    always: the fields that all copies change; such a copy costs a third less. TypeError on a name that is no field, or
    not one of these, and when one of these is not given.
    """
    may_change = always or _names(kind)
    fill = {name: f"value.{name}" for name in _names(kind)}
    fill |= {name: name if always else f"{fill[name]} if {name} is missing else {name}" for name in may_change}
    source = _REPLACED.format(
        parameters=", ".join(name if always else f"{name}=missing" for name in may_change),
        fill="; ".join(f"new.{name} = {source}" for name, source in fill.items()),
    )
    replaced: Callable[..., T] = _function("replaced", source, _scope(kind))
    return replaced


def _names(kind: Any) -> list[str]:
    return [field.name for field in fields(kind)]


def _signature(kind: Any) -> tuple[dict[str, Any], str, str]:
    """Of an `__init__`: a scope with the defaults, the parameters, and what makes the defaults that are made anew."""
    known, scope = fields(kind), _scope(kind)
    parameters, defaults = ["*"] if known[0].kw_only else [], ["pass"]
    for field in known:
        name = field.name
        if field.default_factory is not MISSING:
            scope |= {f"default_{name}": MISSING, f"make_{name}": field.default_factory}
            defaults.append(f"{name} = make_{name}() if {name} is missing else {name}")
        elif field.default is not MISSING:
            scope[f"default_{name}"] = field.default
        parameters.append(f"{name}=default_{name}" if f"default_{name}" in scope else name)
    return scope, ", ".join(parameters), "; ".join(defaults)


def _scope(kind: Any) -> dict[str, Any]:
    twin = type(kind.__name__, (), {"__slots__": kind.__slots__})
    set_class = object.__dict__["__class__"].__set__
    return {"set_class": set_class, "missing": MISSING, "twin": twin, "kind": kind}


def _function(name: str, source: str, scope: dict[str, Any]) -> Any:
    """The function that a source defines; its text has only names of fields, as in what `dataclasses` itself runs."""
    exec(source, scope)  # noqa: S102 - see above
    return scope[name]
