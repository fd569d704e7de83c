"""Where a MySQL or MariaDB database is and how to get in, read from a URL."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from dtm.core.errors import StartupError

EXPECTED = "expected mysql://USER:PASSWORD@HOST:3306/DATABASE, with ?ssl=true or ?ssl_ca=FILE for TLS"
PORT = 3306

_DATABASE = re.compile(r"[0-9A-Za-z_$-]{1,64}")
_TLS_FILES = ("ssl_ca", "ssl_cert", "ssl_key")


@dataclass(frozen=True, slots=True)
class Address:
    """A database on a server; tls: None for an unencrypted connection. Shown without user and password."""

    host: str
    port: int
    user: str = field(repr=False)
    password: str = field(repr=False)
    database: str
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mysql://{host}:{self.port}/{self.database}"


def parse_address(url: str) -> Address:
    """The address that a URL names; user and password may be percent-encoded.

    Parameters: ssl (true, false), ssl_ca (whom to trust, instead of the system's authorities), ssl_cert and ssl_key
    (who we are). With TLS the server's certificate and name are verified. StartupError repeats nothing of the URL that
    may be secret.
    """
    if "#" in url:
        raise _refused("a # in it is written %23")
    try:
        parts = urlsplit(url)
        port = parts.port or PORT
    except ValueError:
        raise _refused("its host or port is no such thing") from None
    try:
        parameters = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise _refused("what follows its ? is not NAME=VALUE") from None
    database = unquote(parts.path[1:])
    missing = [f"no {name}" for name, value in _needed(parts) if not value]
    if missing:
        raise _refused(f"it has {', '.join(missing)}")
    if not _DATABASE.fullmatch(database):
        raise _refused("its database is to be named with up to 64 of 0-9 A-Z a-z _ $ -")
    return Address(
        host=parts.hostname or "",
        port=port,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=database,
        tls=_tls(parameters),
    )


def _needed(parts: SplitResult) -> Iterator[tuple[str, str | None]]:
    yield "user", parts.username
    yield "host", parts.hostname
    yield "database", parts.path[1:]


def _refused(reason: str) -> StartupError:
    return StartupError(f"store: {EXPECTED}; {reason}")


def _tls(parameters: dict[str, str]) -> ssl.SSLContext | None:
    """What the URL's parameters ask for."""
    switch = parameters.pop("ssl", "true" if parameters else "false")
    if switch not in ("true", "false") or not parameters.keys() <= set(_TLS_FILES):
        raise _refused(f"parameters are ssl, {', '.join(_TLS_FILES)}")
    if switch == "false":
        return None
    ca, certificate, key = (parameters.get(name) for name in _TLS_FILES)
    try:
        context = ssl.create_default_context(cafile=ca)
        if certificate:
            context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:
        raise StartupError(f"store: cannot read the TLS files that the URL names: {error}") from None
    return context
