"""Settings: defaults < conf.yml < DTM_* environment < command line (architecture, section 8)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import orjson
import yaml

from dtm.core.errors import InvalidRequest, StartupError
from dtm.core.model import nothing
from dtm.core.schemas import Schemas, Validator, plain

PREFIX = "DTM_"
OF_THE_COMMAND_LINE = frozenset({"DTM_SERVER", "DTM_TOKEN", "DTM_DEMO_DB"})
"""Variables that other commands of `dtm` read: no settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compat:
    """Concessions to old clients and participants (contract, "Where this server differs")."""

    branch_type: bool = True
    reply_words: bool = False
    get_writes: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugins:
    """Where protocols come from."""

    modules: tuple[str, ...] = ()
    block: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A bearer token; role `operator` may do everything, `client` all but management calls that change something."""

    token: str = field(repr=False)
    role: Literal["client", "operator"] = "client"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings; durations in seconds, fractions allowed. None in `callbacks_allow` or `auth`: not said; in
    `retention_finished_days`: for ever.

    What may hold a secret is not shown by repr.
    """

    store: str = field(default="sqlite:///dtm.db", repr=False)
    host: str = "127.0.0.1"
    port: int = 36789
    http_server: str = "tornado"
    processes: int = 1
    retry_interval: float = 10.0
    retry_interval_max: float = 60.0
    request_timeout: float = 3.0
    timeout_to_fail: float = 35.0
    poll_interval: float = 1.0
    lease: float = 15.0
    write_behind: float = 0.1
    calls_per_host: int = 512
    db_timeout: float = 5.0
    shutdown_grace: float = 10.0
    alert_webhook: str = field(default="", repr=False)
    alert_retry_limit: int = 3
    retention_finished_days: float | None = None
    callbacks_allow: tuple[str, ...] | None = None
    auth: Literal["none"] | tuple[Token, ...] | None = None
    compat: Compat = Compat()
    plugins: Plugins = Plugins()
    protocols: Mapping[str, Mapping[str, Any] | Literal[False]] = field(default_factory=nothing, repr=False)
    log_level: str = "info"


def load(path: str | None, environ: Mapping[str, str], overrides: Mapping[str, Any]) -> Settings:
    """The settings from a YAML file (None: no file), the environment, and the command line (None: not given).

    Objects merge, everything else replaces. StartupError: one line for each thing that is wrong, naming its place,
    never a value.
    """
    faults: list[str] = []
    values: dict[str, Any] = {}
    validator = Schemas().compile("config.json")
    for place, base, layer in _layers(path, environ, overrides, faults):
        wrong = _wrong(place, layer, validator)
        faults += wrong
        if not wrong:
            values = _merged(values, _plugins_found(layer, base))
    if not faults:
        settings = _settings(values)
        faults = list(_contradictions(settings))
    if faults:
        raise StartupError("\n".join(faults))
    return settings


def _layers(
    path: str | None, environ: Mapping[str, str], overrides: Mapping[str, Any], faults: list[str]
) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """(place, folder that its relative paths start from, what it says), the weakest first."""
    if path is not None:
        try:
            yield path, Path(path).absolute().parent, _read(path)
        except StartupError as error:
            faults.append(str(error))
    for name in sorted(environ):
        if name.startswith(PREFIX) and environ[name] and not _is_no_setting(name, environ[name]):
            yield name, Path.cwd(), _fragment(name, environ[name])
    given = {key: plain(value) for key, value in overrides.items() if value is not None}
    yield "command line", Path.cwd(), given


class _Loader(yaml.SafeLoader):
    """YAML without dates, and without keys that are said twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(problem="a key is said twice", problem_mark=key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else key)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _read(path: str) -> dict[str, Any]:
    try:
        document = yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise StartupError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StartupError(f"{path}: not UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # What YAML quotes in its message may be the start of a token.
        problem = re.sub(r"'.*'", "...", getattr(error, "problem", None) or "not YAML")
        raise StartupError(f"{path}: line {mark.line + 1}: {problem}" if mark else f"{path}: {problem}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise StartupError(f"{path}: expected keys and values")
    return document


def _fragment(name: str, text: str) -> dict[str, Any]:
    """What one variable says: JSON if it is JSON, else text; `__` separates the parts of a nested key."""
    try:
        value: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = text
    *outer, key = name.removeprefix(PREFIX).lower().split("__")
    fragment = {key: value}
    for part in reversed(outer):
        fragment = {part: fragment}
    return fragment


def _is_no_setting(name: str, value: str) -> bool:
    """Whether it is the client's, or set by Kubernetes because a service happens to be called dtm."""
    if name == "DTM_PORT":
        return value.startswith(("tcp://", "udp://", "sctp://"))
    of_kubernetes = r"DTM_(SERVICE_(HOST|PORT.*)|PORT_\d+_(TCP|UDP|SCTP).*)"
    return name in OF_THE_COMMAND_LINE or re.fullmatch(of_kubernetes, name) is not None


def _wrong(place: str, layer: dict[str, Any], validator: Validator) -> list[str]:
    try:
        validator.check(layer)
    except InvalidRequest as error:
        return [f"{place}: {_dotted(pointer)}{text}" for pointer, text in error.errors]
    return []


def _dotted(pointer: str) -> str:
    return pointer.removeprefix("/").replace("/", ".") + ": " if pointer else ""


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _plugins_found(layer: dict[str, Any], base: Path) -> dict[str, Any]:
    """The layer with the paths among `plugins.modules` made absolute."""
    plugins = layer.get("plugins") or {}
    if "modules" not in plugins:
        return layer
    modules = [str((base / name).resolve()) if name.endswith(".py") else name for name in plugins["modules"]]
    return {**layer, "plugins": {**plugins, "modules": modules}}


def _settings(values: Mapping[str, Any]) -> Settings:
    sections = ("retention", "callbacks", "auth", "compat", "plugins", "protocols")
    retention, callbacks, auth, compat, plugins, protocols = (values.get(section) or {} for section in sections)
    convert = {"int": int, "float": float, "str": str}
    scalars = {
        each.name: convert[str(each.type)](values[each.name])
        for each in fields(Settings)
        if each.type in convert and each.name in values
    }
    days, allow = retention.get("finished_days"), callbacks.get("allow")
    tokens = tuple(Token(**token) for token in auth["tokens"]) if isinstance(auth, dict) and auth else None
    return Settings(
        **scalars,
        retention_finished_days=None if days is None else float(days),
        callbacks_allow=None if allow is None else tuple(allow),
        auth="none" if auth == "none" else tokens,
        compat=Compat(**compat),
        plugins=Plugins(**{key: tuple(names) for key, names in plugins.items()}),
        protocols=MappingProxyType({name: _protocol(value) for name, value in protocols.items()}),
    )


def _protocol(value: Any) -> Mapping[str, Any] | Literal[False]:
    return False if value is False else _frozen(value or {})


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen(item) for key, item in value.items()})
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _contradictions(settings: Settings) -> Iterator[str]:
    """What is wrong although each setting by itself is right."""
    if not _is_loopback(settings.host):
        if settings.auth is None:
            yield f"host: listening on {settings.host} needs auth: tokens, or none if everybody may use the API"
        if settings.callbacks_allow is None:
            yield f"host: listening on {settings.host} needs callbacks.allow: the participants that may be called"
    if settings.processes > 1 and not settings.store.startswith("mysql://"):
        yield "processes: more than one needs a store that they can share, mysql://..."
    if settings.retry_interval_max < settings.retry_interval:
        yield "retry_interval_max: must not be below retry_interval"
    if isinstance(settings.auth, tuple) and len({each.token for each in settings.auth}) < len(settings.auth):
        yield "auth.tokens: the same token is given twice"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
