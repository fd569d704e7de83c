"""The protocols of a node, as `dtm protocols` prints them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.table import Table
from rich.text import Text

from dtm.core.lifecycle import Verbs
from dtm.core.model import Op, Status
from dtm.core.protocol import Schema
from dtm.core.registry import Registered, Registry
from dtm.terminal import harmless, show


def print_protocols(registry: Registry) -> None:
    """Print every protocol that is known here: who provides it, whether it may be used, and what it is made of."""
    for registered in registry.known.values():
        show(_title(registered), _facts(registered), Text())


def _title(registered: Registered) -> Text:
    protocol = registered.protocol
    switch = Text("enabled", "green") if registered.enabled else Text("not enabled", "yellow")
    provider = " ".join(filter(None, (registered.provider, registered.provider_version)))
    return Text.assemble(
        (protocol.name, "bold"), f" {harmless(protocol.version)}  ", switch, (f"  {harmless(provider)}", "dim")
    )


def _facts(registered: Registered) -> Table:
    protocol = registered.protocol
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    facts = {
        "summary": harmless(protocol.summary),
        **({"carries": f"version {', '.join(protocol.carries)}"} if protocol.carries else {}),
        "verbs": "\n".join(_verbs(protocol.verbs)),
        "operations": "\n".join(_operation(name, op) for name, op in protocol.ops.items()),
        "schemas": "\n".join(_schemas(registered)),
    }
    for name, text in facts.items():
        table.add_row(Text(f"  {name}"), Text(text))
    return table


def _verbs(verbs: Verbs) -> Iterator[str]:
    """One line for each verb, with all its transitions; a target that is a function depends on the request."""
    transitions: dict[str, list[str]] = {}
    for (verb, source), target in verbs.items():
        goal = target if isinstance(target, Status) else "(depends on the request)"
        transitions.setdefault(verb, []).append(f"{source or 'none'} -> {goal}")
    for verb, ways in transitions.items():
        yield f"{verb}: {', '.join(ways)}"


def _operation(name: str, op: Op) -> str:
    rules = ["may fail" if op.may_fail else "tried until it succeeds"]
    if op.undoes:
        rules.append(f"undoes {op.undoes}")
    if op.always_post:
        rules.append("always POST")
    return f"{name}: {', '.join(rules)}"


def _schemas(registered: Registered) -> Iterator[str]:
    protocol = registered.protocol
    yield f"request: {_schema(protocol.request_schema, registered.body_keys)}"
    if protocol.branch_schema is not None:
        yield f"branch: {_schema(protocol.branch_schema, registered.branch_keys)}"
    if protocol.settings_schema is not None:
        keys = protocol.settings_schema.get("properties", {})
        yield f"settings: {_schema(protocol.settings_schema, frozenset(keys))}"


def _schema(schema: Schema, keys: frozenset[str]) -> str:
    where = "inline" if isinstance(schema, Mapping) else harmless(schema)
    return f"{where} ({', '.join(map(harmless, sorted(keys))) or 'no keys'})"
