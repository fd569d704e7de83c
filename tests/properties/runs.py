"""Running generated histories: one seed, one history, the laws that apply to it."""

from __future__ import annotations

import random

from dtm import Protocol
from dtm.plugins import msg, saga, tcc, xa
from dtm.testing.history import History
from dtm.testing.simulator import simulate
from tests.properties import laws, scenarios

PROTOCOLS: dict[str, Protocol] = {module.PROTOCOL.name: module.PROTOCOL for module in (saga, tcc, msg, xa)}


def history_of(name: str, seed: int, protocol: Protocol | None = None) -> tuple[History, scenarios.Scenario]:
    """The history that this seed tells of this protocol, and what the client wanted."""
    rng = random.Random(f"{name} {seed}")
    scenario = getattr(scenarios, name)(rng)
    faults = scenario.faults(rng)
    return simulate(protocol or PROTOCOLS[name], scenario.steps, seed=seed, faults=faults), scenario


def broken(name: str, seed: int, protocol: Protocol | None = None) -> list[str]:
    """The laws that the history breaks, one sentence each."""
    history, scenario = history_of(name, seed, protocol)
    return laws.broken(history, protocol or PROTOCOLS[name], *_laws(name, scenario))


def _laws(name: str, scenario: scenarios.Scenario) -> list[laws.Law]:
    forward = laws.ordered("action", scenario.precedes)
    if name == "saga":
        backward = laws.ordered("compensate", lambda a, b: scenario.precedes(b, a), real="action")
        return [forward, backward]
    if name == "msg":
        return [forward, laws.i_msg_1, laws.not_before(scenario.delay)]
    return [laws.i_tcc_1]


def first_broken(name: str, seeds: range) -> str:
    """The first of these histories that breaks a law, told in full; empty when none does."""
    for seed in seeds:
        sentences = broken(name, seed)
        if sentences:
            return "\n".join([*sentences, history_of(name, seed)[0].story()])
    return ""
