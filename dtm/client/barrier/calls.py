"""Which call a participant has been sent, read from its query (contract, 2.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from dtm.client.errors import InvalidRequest

LONGEST = {"trans_type": 45, "gid": 128, "branch_id": 128, "op": 45}
"""Characters that the table's columns hold. MySQL's INSERT IGNORE would cut off what is longer, and mix calls up."""

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a coordinator. InvalidRequest, before any SQL, when a column would not hold a value as it is."""

    trans_type: str
    gid: str
    branch_id: str
    op: str

    def __post_init__(self) -> None:
        for name, most in LONGEST.items():
            value = getattr(self, name)
            if not isinstance(value, str) or not 0 < len(value) <= most or _UNFIT.search(value):
                expected = f"expected 1 to {most} characters without control characters, as coordinators send"
                raise InvalidRequest(f"{name}: {expected}; got {value!r:.40}")

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Call:
        """The call that a query names."""
        return cls(*(query.get(name, "") for name in LONGEST))


def query_of(request: Any) -> dict[str, str]:
    """The query of a request, of whatever framework, without importing any. TypeError: a request of no known kind.

    It is read as it came over the wire. Frameworks repair bad UTF-8 in silence, and of a repeated name some take the
    first value; but a coordinator appends its own to those of the url that it was given, so the last counts.
    """
    text = _raw_query(request)
    try:
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict"))
    except ValueError as error:
        raise InvalidRequest(f"the query is not UTF-8: {error}") from error


def _raw_query(request: Any) -> str:
    scope = getattr(request, "scope", None)
    if isinstance(scope, Mapping):  # ASGI: FastAPI, Starlette
        return str(scope["query_string"], "latin-1")
    environ = getattr(request, "environ", None)
    if isinstance(environ, Mapping):  # WSGI: Flask
        return str(environ.get("QUERY_STRING", ""))
    address = getattr(request, "rel_url", None)
    if address is not None:  # aiohttp
        return str(address.raw_query_string)
    query = getattr(getattr(request, "request", request), "query", None)
    if isinstance(query, str):  # Tornado: a handler, or its request
        return query
    raise TypeError(
        f"expected a request of FastAPI, Starlette, Flask, Tornado or aiohttp, got {type(request).__name__}; "
        "Barrier.from_query takes the query of any other"
    )
