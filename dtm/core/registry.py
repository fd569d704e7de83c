"""The protocols this node knows: all plugins load by one path, and whatever is not whole is refused.

A coordinator does not start with half its plugins: every refusal is a StartupError, one clear line (architecture,
section 4).
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import pluggy

from dtm.core import hookspecs
from dtm.core.config import Settings
from dtm.core.discovery import BUILT_IN, Source, built_in, configured, installed
from dtm.core.errors import InvalidRequest, StartupError
from dtm.core.hookspecs import PROJECT, Event
from dtm.core.model import nothing
from dtm.core.protocol import Protocol
from dtm.core.schemas import Schemas, Validator, plain

Observer = Callable[[Event], None]

REGISTER = "dtm_register_protocols"
OBSERVE = "dtm_observe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A protocol, who provides it, and what the configuration makes of it.

    provider: "built-in", a distribution, a module or a file; provider_version: "" when it has none.
    settings: what the operator wrote under `protocols.<name>`, read-only.
    validate_request, validate_branch: the protocol's own schemas, compiled; None when it registers no branches.
    body_keys, branch_keys: the keys that these schemas name at their top level.
    continuing: the verbs that may meet a transaction that exists, and change it.
    """

    protocol: Protocol
    provider: str
    provider_version: str
    enabled: bool
    settings: Mapping[str, Any]
    validate_request: Validator
    validate_branch: Validator | None
    body_keys: frozenset[str]
    branch_keys: frozenset[str]
    continuing: frozenset[str]


@dataclass(frozen=True, slots=True)
class Registry:
    """What the plugins brought, by protocol name; `enabled` is the part of `known` that may be used.

    `observers` are all `dtm_observe` hooks in the order of loading: the hot path asks no plugin manager.
    """

    known: Mapping[str, Registered]
    enabled: Mapping[str, Registered]
    observers: tuple[Observer, ...]


def load(settings: Settings, builtins: Sequence[str], schemas: Schemas) -> Registry:
    """Import every plugin and collect what it provides; StartupError for the first thing that is not whole.

    builtins: modules whose protocols are on unless the configuration says false; all others are off unless it names
    them.
    """
    manager = _manager()
    provided: dict[str, tuple[Protocol, Source]] = {}
    observers: list[Observer] = []
    for source in (*built_in(builtins), *installed(settings.plugins.block), *configured(settings.plugins.modules)):
        for hook, function in _hooks(manager, source):
            if hook == OBSERVE:
                observers.append(function)
                continue
            for protocol in _protocols(source, function):
                if protocol.name in provided:
                    other = provided[protocol.name][1]
                    raise StartupError(f"protocol {protocol.name!r} is provided twice: by {other} and by {source}")
                provided[protocol.name] = (protocol, source)
    _refuse_unknown(settings, provided)
    known = {name: registered(protocol, source, settings, schemas) for name, (protocol, source) in provided.items()}
    enabled = {name: known_one for name, known_one in known.items() if known_one.enabled}
    return Registry(MappingProxyType(known), MappingProxyType(enabled), tuple(observers))


def protocols_of(source: Source) -> tuple[Protocol, ...]:
    """What one plugin offers, looked at by itself; StartupError when it is not whole."""
    hooks = _hooks(_manager(), source)
    return tuple(protocol for hook, function in hooks if hook == REGISTER for protocol in _protocols(source, function))


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def _hooks(manager: pluggy.PluginManager, source: Source) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Import one plugin and yield its hooks by name."""
    plugin = _imported(source)
    try:
        name = manager.register(plugin, name=str(source))
    except ValueError:
        already = manager.get_name(plugin) or "the same"
        raise StartupError(f"{source} is loaded already, as {already}") from None
    except pluggy.PluginValidationError as error:
        raise StartupError(f"{source}: {_reason(error)}") from error
    hooks = list(_implementations(manager, source, plugin)) if name else []
    if not hooks:
        raise StartupError(f"{source} has no hook: nothing in it is marked with @dtm.hookimpl")
    for hook in (REGISTER, OBSERVE):
        if hasattr(plugin, hook) and hook not in dict(hooks):
            raise StartupError(f"{source}: {hook} is not marked with @dtm.hookimpl")
    yield from hooks


def _imported(source: Source) -> Any:
    try:
        return source.load()
    except (Exception, SystemExit) as error:  # a stranger's module may do anything when it is imported
        raise StartupError(f"{source} cannot be imported: {_reason(error)}") from error


def _implementations(
    manager: pluggy.PluginManager, source: Source, plugin: Any
) -> Iterator[tuple[str, Callable[..., Any]]]:
    for caller in manager.get_hookcallers(plugin) or ():
        for hook in caller.get_hookimpls():
            if hook.plugin is not plugin or (hook.optionalhook and not caller.has_spec()):
                continue
            if not caller.has_spec():
                raise StartupError(f"{source}: unknown hook {caller.name!r}{_hint(caller.name, (REGISTER, OBSERVE))}")
            if hook.wrapper or hook.hookwrapper or inspect.iscoroutinefunction(hook.function):
                raise StartupError(f"{source}: {caller.name} must be a plain function, no wrapper and no coroutine")
            if caller.name == OBSERVE and hook.argnames != ("event",):
                raise StartupError(f"{source}: {OBSERVE} must take one argument, event")
            yield caller.name, hook.function


def _protocols(source: Source, function: Callable[[], Any]) -> tuple[Protocol, ...]:
    try:
        protocols = tuple(function())
    except Exception as error:  # the same stranger
        raise StartupError(f"{source}: {REGISTER} failed: {_reason(error)}") from error
    for protocol in protocols:
        if not isinstance(protocol, Protocol):
            raise StartupError(f"{source}: {REGISTER} gave a {type(protocol).__name__}, not a dtm.Protocol")
    return protocols


def _refuse_unknown(settings: Settings, provided: Mapping[str, Any]) -> None:
    for name in settings.protocols:
        if name not in provided:
            raise StartupError(f"protocols.{name}: no plugin provides this protocol{_hint(name, provided)}")


def registered(protocol: Protocol, source: Source, settings: Settings, schemas: Schemas) -> Registered:
    """One protocol with its schemas compiled and its settings checked; StartupError when either is not whole."""
    owner = f"protocol {protocol.name!r} of {source}"
    written = settings.protocols.get(protocol.name, nothing() if source.provider == BUILT_IN else False)
    request, branch = protocol.request_schema, protocol.branch_schema
    return Registered(
        protocol=protocol,
        provider=source.provider,
        provider_version=source.version,
        enabled=written is not False,
        settings=_settings(protocol, written, owner, schemas),
        validate_request=schemas.compile(request, f"{owner}: request_schema"),
        validate_branch=None if branch is None else schemas.compile(branch, f"{owner}: branch_schema"),
        body_keys=schemas.properties_of(request),
        branch_keys=frozenset() if branch is None else schemas.properties_of(branch),
        continuing=frozenset(verb for verb, status in protocol.verbs if status is not None),
    )


def _settings(
    protocol: Protocol, written: Mapping[str, Any] | Literal[False], owner: str, schemas: Schemas
) -> Mapping[str, Any]:
    """What stands under `protocols.<name>`, checked; keys that `settings_schema` does not name are errors."""
    schema = {"type": "object", "additionalProperties": False, **(protocol.settings_schema or {})}
    validator = schemas.compile(schema, f"{owner}: settings_schema")
    if not isinstance(written, Mapping):
        return nothing()
    try:
        validator.check(plain(written))
    except InvalidRequest as error:
        faults = "; ".join(f"{pointer or '/'}: {text}" for pointer, text in error.errors)
        raise StartupError(f"protocols.{protocol.name}: {faults}") from error
    return written


def refuse_versions(enabled: Mapping[str, Registered], needed: Iterable[tuple[str, str]]) -> None:
    """StartupError for each (protocol, version) of these whose protocol is enabled, but carries no such version."""
    missing = [
        f"{version!r} of {name!r} (here: {enabled[name].protocol.version!r})"
        for name, version in sorted(needed)
        if name in enabled and not enabled[name].protocol.runs(version)
    ]
    if missing:
        raise StartupError(
            f"the store holds unfinished transactions of versions that no plugin carries: {', '.join(missing)}; "
            "install one that does, or start with --allow-orphans to leave them alone"
        )


def _hint(name: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
