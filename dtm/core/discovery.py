"""Where plugins come from: built-ins, installed distributions, modules and files. Nothing is imported before `load`."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

ENTRY_POINTS = "dtm"
"""The entry-point group in which a distribution names its plugins."""

BUILTINS = "dtm.plugins"
BUILT_IN = "built-in"
DISTRIBUTION = "dtm-coordinator"


@dataclass(frozen=True, slots=True)
class Source:
    """One plugin: who provides it, its module or file, and the function that imports it (which may raise anything)."""

    provider: str
    version: str
    place: str
    load: Callable[[], Any]

    def __str__(self) -> str:
        """How refusals name it."""
        provider = "" if self.provider == self.place else self.provider
        details = " ".join(filter(None, (provider, self.version)))
        return f"plugin {self.place} ({details})" if details else f"plugin {self.place}"


def builtin_modules() -> list[str]:
    """The modules of the built-in plugins: whatever lies in that package."""
    package = importlib.import_module(BUILTINS)
    return [f"{BUILTINS}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]


def built_in(modules: Iterable[str]) -> Iterator[Source]:
    """The plugins that dtm brings along."""
    version = _version_of_dtm()
    for module in modules:
        yield Source(BUILT_IN, version, module, partial(importlib.import_module, module))


def installed(block: Iterable[str]) -> Iterator[Source]:
    """The plugins of installed distributions, by name, but for those of blocked ones."""
    blocked = {_normal(name) for name in block}
    found = []
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        provider, version = (point.dist.name, point.dist.version) if point.dist else (point.name, "")
        if _normal(provider) not in blocked:
            found.append(Source(provider, version, point.value, point.load))
    yield from sorted(found, key=lambda source: (source.provider, source.place))


def configured(modules: Iterable[str]) -> Iterator[Source]:
    """The plugins under `plugins.modules`: dotted modules, or paths of .py files."""
    for name in modules:
        load = partial(_from_file if name.endswith(".py") else importlib.import_module, name)
        yield Source(name, "", name, load)


def _from_file(path: str) -> ModuleType:
    name = "dtm_plugin" + re.sub(r"\W", "_", path)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("no Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _version_of_dtm() -> str:
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return ""  # a source tree that was never installed


def _normal(name: str) -> str:
    """The form in which names of distributions are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
