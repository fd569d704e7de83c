"""From a history that breaks a law to the smallest one that still does: fewer faults, fewer steps, fewer branches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dtm.core.protocol import Protocol
from dtm.testing.history import History
from dtm.testing.law import Law
from dtm.testing.scenario import Faults, Step
from dtm.testing.simulator import simulate

EVENTS = 20_000
"""Of so many events in all, at most, smaller histories are tried: those that never end are long."""

OPTIONS = ("timeout_to_fail", "retry_limit", "concurrent", "custom_data")


@dataclass(slots=True)
class Shrinker:
    """Tries smaller histories of one protocol under one law."""

    protocol: Protocol
    law: Law
    events: int = 0

    def smallest(self, history: History) -> History:
        """The smallest history found; the given one when nothing smaller breaks the law."""
        found = True
        while found and self.events < EVENTS:
            found = False
            for steps, faults in _smaller(history):
                candidate = self._broken(steps, faults, history)
                if candidate is not None:
                    history, found = candidate, True
                    break
                if self.events >= EVENTS:
                    break
        return history

    def _broken(self, steps: tuple[Step, ...], faults: Faults, like: History) -> History | None:
        try:
            history = simulate(self.protocol, steps, seed=like.seed, faults=faults, settings=like.settings)
        except Exception:
            return None  # a protocol may stumble over a request that has lost a part
        self.events += len(history.events)
        refused = next(history.of("refused", "ok", "unknown")).kind == "refused"
        return history if not refused and self.law.broken_by(history, self.protocol) else None


def _smaller(history: History) -> Iterator[tuple[tuple[Step, ...], Faults]]:
    """Each history that is smaller by one thing, the biggest things first."""
    steps, faults = history.steps, history.faults
    for index in range(len(steps) - 1, 0, -1):
        yield steps[:index] + steps[index + 1 :], faults
    for name in ("strikes", "replies", "verdicts", "script"):
        given = getattr(faults, name)
        for key in given:
            less: dict[str, Any] = {name: {k: v for k, v in given.items() if k != key}}
            yield steps, replace(faults, **less)
    if faults.nodes > 1:
        yield steps, replace(faults, nodes=1)
    if faults.lag:
        yield steps, replace(faults, lag=False)
    for body in _smaller_bodies(steps[0].body):
        yield tuple(replace(step, body=body) if step.body == steps[0].body else step for step in steps), faults
    for index, step in enumerate(steps):
        if step.after:
            yield (*steps[:index], replace(step, after=0.0), *steps[index + 1 :]), faults


def _smaller_bodies(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Each body with its lists one shorter (all at once, or one of them), or without one of the options."""
    lists = {key: value for key, value in body.items() if isinstance(value, list) and len(value) > 1}
    longest = max(map(len, lists.values()), default=0)
    for index in range(longest - 1, -1, -1):
        yield {**body, **{key: value[:index] + value[index + 1 :] for key, value in lists.items()}}
    for key, value in lists.items() if len(lists) > 1 else ():
        for index in range(len(value) - 1, -1, -1):
            yield {**body, key: value[:index] + value[index + 1 :]}
    for key in OPTIONS:
        if key in body:
            yield {name: value for name, value in body.items() if name != key}
