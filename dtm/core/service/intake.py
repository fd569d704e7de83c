"""From a request's body to a validated `Request`: nothing is stored before all of this has said yes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import orjson

from dtm.core.errors import InvalidRequest
from dtm.core.model import Options, Verb, nothing
from dtm.core.protocol import Request, new_request
from dtm.core.registry import Registered
from dtm.core.schemas import Schemas
from dtm.core.transport.wire import legal_header
from dtm.core.values import maker

OPTION_KEYS = tuple(field.name for field in fields(Options))
NUMBERS_AND_SWITCHES = tuple(name for name in OPTION_KEYS if name != "branch_headers")

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Intake:
    """A validated body: who speaks for it, the `request` for its functions, custom_data as sent."""

    registered: Registered
    request: Request
    custom_data: str


new_intake = maker(Intake)


def without_nulls(value: Any) -> Any:
    """Null means absent, at any depth: SDKs send many of them."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


class Reader:
    """Reads bodies, which have no nulls any more, for the protocols that are enabled here."""

    def __init__(self, enabled: Mapping[str, Registered], schemas: Schemas) -> None:
        self._enabled = enabled
        self._common = schemas.compile("common.json")
        self._reference = schemas.compile("common.json#/$defs/reference")
        self._registration = schemas.compile("common.json#/$defs/registration")

    def transaction(self, verb: Verb, body: Mapping[str, Any]) -> Intake:
        """The body of prepare and submit."""
        self._common.check(body)
        registered = self.protocol(body["trans_type"])
        registered.validate_request.check(body)
        custom_data, custom = _custom(body.get("custom_data", ""))
        request = new_request(
            verb=verb,
            gid=body["gid"],
            trans_type=registered.protocol.name,
            body={key: value for key, value in body.items() if key in registered.body_keys},
            options=_options(body),
            custom=custom,
            settings=registered.settings,
        )
        return new_intake(registered, request, custom_data)

    def reference(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The body of a verb that names a transaction: gid, and perhaps trans_type and rollback_reason."""
        self._reference.check(body)
        return body

    def registration(self, body: Mapping[str, Any], implied_type: str | None) -> tuple[Registered, Request]:
        """The body of registerBranch: flat, strings only; the old paths imply the trans_type."""
        if implied_type is not None:
            body = {"trans_type": implied_type, **body}
        self._registration.check(body)
        name = body["trans_type"]
        registered = self._enabled.get(name)
        if registered is None or registered.validate_branch is None:
            raise InvalidRequest("/trans_type", f"unknow trans type: {name}")
        registered.validate_branch.check(body)
        request = new_request(
            verb=Verb.REGISTER,
            gid=body["gid"],
            trans_type=registered.protocol.name,
            body=body,
            settings=registered.settings,
        )
        return registered, request

    def protocol(self, name: str) -> Registered:
        """An enabled protocol by its wire name."""
        registered = self._enabled.get(name)
        if registered is None:
            names = ", ".join(sorted(self._enabled))
            raise InvalidRequest("/trans_type", f"expected one of the protocols enabled here ({names}), got {name!r}")
        return registered


def _options(body: Mapping[str, Any]) -> Options:
    options = _numbers_and_switches(*map(body.get, NUMBERS_AND_SWITCHES))
    headers = body.get("branch_headers")
    if not headers:  # one SDK sends its empty map as a list
        return options
    for name, value in headers.items():
        if not legal_header(name, value):
            pointer = "/branch_headers/" + name.replace("~", "~0").replace("/", "~1")
            raise InvalidRequest(pointer, "expected a legal header that is not one of the coordinator's own")
    return replace(options, branch_headers=headers)


@lru_cache(maxsize=1024)
def _numbers_and_switches(*values: float | None) -> Options:
    """Options without headers, in the order of their names; None: not given. Clients send the same over and over."""
    given = {name: value for name, value in zip(NUMBERS_AND_SWITCHES, values, strict=True) if value is not None}
    whole: dict[str, Any] = {name: int(value) if isinstance(value, float) else value for name, value in given.items()}
    return Options(**whole)  # 1.0 is an integer in JSON


def _custom(text: str) -> tuple[str, Mapping[str, Any]]:
    """custom_data as sent, and as an object."""
    if not text:
        return "", nothing()
    try:
        custom = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest("/custom_data", f"expected the text of a JSON object: {error}") from error
    if custom is None:
        return "", nothing()
    if not isinstance(custom, dict):
        raise InvalidRequest("/custom_data", f"expected the text of a JSON object, got {type(custom).__name__}")
    return text, custom
