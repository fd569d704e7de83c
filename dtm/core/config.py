"""Settings: defaults < conf.yml < DTM_* environment < command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dtm.core.model import nothing


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
    """All settings; durations in seconds, fractions allowed. None in `callbacks_allow` or `auth`: not said."""

    store: str = "sqlite:///dtm.db"
    host: str = "127.0.0.1"
    port: int = 36789
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
    alert_webhook: str = ""
    alert_retry_limit: int = 3
    callbacks_allow: tuple[str, ...] | None = None
    auth: Literal["none"] | tuple[Token, ...] | None = None
    compat: Compat = Compat()
    plugins: Plugins = Plugins()
    protocols: Mapping[str, Mapping[str, Any] | Literal[False]] = field(default_factory=nothing)
    log_level: str = "info"
