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
        return json.dumps(payload, default=_plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"the payload is neither JSON nor text in UTF-8: {error}") from error


def _plain(value: Any) -> Any:
    """What JSON knows, of what it does not."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    raise TypeError(f"{type(value).__name__} is not JSON")
