"""Payloads: whatever a caller has at hand, to the text that the wire carries."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from dtm.client.errors import InvalidRequest


def payload_text(payload: Any) -> str:
    """The text of a payload: bytes as they are, in UTF-8; None as nothing; all else as JSON.

    JSON may hold dataclasses, and whatever has `model_dump(mode=...)`, as pydantic's models. InvalidRequest: neither.
    """
    if payload is None:
        return ""
    try:
        if isinstance(payload, bytes | bytearray):
            return payload.decode()
        text = json.dumps(payload, default=_plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        text.encode()  # half of a surrogate pair is text, but not UTF-8
        return text
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"the payload is neither JSON nor text in UTF-8: {error}") from error


def _plain(value: Any) -> Any:
    """What JSON knows, of what it does not."""
    if isinstance(value, type):
        raise TypeError(f"{value.__name__} is a class: expected an instance")
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    raise TypeError(f"{value!r:.60} is of {type(value).__name__}: expected JSON, dataclasses or models of pydantic")
