"""A history on disk: what it takes to play it again, and its story for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from dtm.core.model import Key
from dtm.core.protocol import Protocol
from dtm.core.schemas import plain
from dtm.testing.history import History
from dtm.testing.scenario import Faults, Step
from dtm.testing.simulator import simulate


def as_json(history: History) -> dict[str, Any]:
    """A history as a JSON object: protocol, version, seed, settings, steps, faults (each by its place), story."""
    faults = {field.name: getattr(history.faults, field.name) for field in fields(Faults)}
    for name in ("script", "verdicts"):
        faults[name] = {"/".join(key): value for key, value in faults[name].items()}
    return {
        "protocol": history.protocol,
        "version": history.version,
        "seed": history.seed,
        "settings": plain(history.settings),
        "steps": [{field.name: plain(getattr(step, field.name)) for field in fields(Step)} for step in history.steps],
        "faults": faults,
        "story": history.story().splitlines(),
    }


def save(history: History, path: str | Path) -> None:
    """Write a history to a file."""
    Path(path).write_text(json.dumps(as_json(history), indent=2) + "\n", encoding="utf-8")


def replay(protocol: Protocol, saved: Mapping[str, Any] | str | Path) -> History:
    """Play a saved history (the file, or its content) again: the same story, if protocol and dtm are the same.

    ValueError for a history of another protocol, OSError, ValueError or KeyError for a file that holds none.
    """
    told = saved if isinstance(saved, Mapping) else json.loads(Path(saved).read_text(encoding="utf-8"))
    if told["protocol"] != protocol.name:
        raise ValueError(f"this is a history of {told['protocol']!r}, not of {protocol.name!r}")
    steps = [Step(**step) for step in told["steps"]]
    return simulate(protocol, steps, seed=told["seed"], faults=_faults(told["faults"]), settings=told["settings"])


def _faults(told: Mapping[str, Any]) -> Faults:
    by_branch = {name: {_key(text): value for text, value in told[name].items()} for name in ("script", "verdicts")}
    by_number = {name: {int(n): value for n, value in told[name].items()} for name in ("replies", "strikes")}
    return Faults(**{**told, **by_branch, **by_number})


def _key(text: str) -> Key:
    branch_id, _, op = text.rpartition("/")
    return branch_id, op
