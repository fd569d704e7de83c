"""With which requests a protocol is tested: as a rule the examples in its own schemas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dtm.core.errors import StartupError
from dtm.core.protocol import Protocol, Schema
from dtm.core.schemas import plain
from dtm.testing.nodes import SCHEMAS

Body = Mapping[str, Any]


class NoExamples(StartupError):
    """There is nothing to test a protocol with, or it refuses what there is."""


@dataclass(frozen=True, slots=True)
class Requests:
    """bodies: of prepare and submit; registrations: of registerBranch; settings: under `protocols.<name>`.

    `gid`, `trans_type` and `branch_id` may be left out, and are replaced where they stand.
    """

    bodies: Sequence[Body]
    registrations: Sequence[Body] = ()
    settings: Sequence[Body] = ({},)


def examples(protocol: Protocol, bodies: Sequence[Body] | None = None) -> Requests:
    """The examples in the protocol's schemas; `bodies` stand in for those of request_schema.

    Without examples in settings_schema there are no settings. NoExamples where something is missing.
    """
    bodies = _examples(protocol, "request_schema", protocol.request_schema) if bodies is None else bodies
    registrations: Sequence[Body] = ()
    if protocol.branch_schema is not None:
        registrations = _examples(protocol, "branch_schema", protocol.branch_schema)
    if not bodies:
        raise NoExamples(f"protocol {protocol.name!r}: no requests to test it with")
    settings = plain((protocol.settings_schema or {}).get("examples", ()))
    return Requests(bodies, registrations, settings or ({},))


def _examples(protocol: Protocol, what: str, schema: Schema) -> Sequence[Body]:
    found: Sequence[Body] = plain(SCHEMAS.document(schema).get("examples", ()))
    if not found:
        raise NoExamples(f'protocol {protocol.name!r}: its {what} has no "examples" to test it with')
    return found
