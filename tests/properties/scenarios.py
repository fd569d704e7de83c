"""What clients do, drawn from a seed: one transaction of each protocol, with racing and repeated verbs."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field

from dtm.testing import Faults, Step

GID = "g"


@dataclass
class Scenario:
    """Steps of the client, verdicts of the participants, and what the laws of order need to know."""

    steps: list[Step]
    verdicts: dict[tuple[str, str], str] = field(default_factory=dict)
    before: dict[str, set[str]] = field(default_factory=dict)
    delay: float = 0.0

    def faults(self, rng: random.Random) -> Faults:
        """The weather for this run: calm, stormy, with one node or two."""
        return Faults(
            trouble=rng.choice((0.0, 0.2, 0.5)),
            crash=rng.choice((0.0, 0.05, 0.15)),
            nodes=rng.choice((1, 1, 2)),
            back=rng.choice((0.1, 1.0, 5.0)),
            verdicts=self.verdicts,
        )

    def precedes(self, first: str, then: str) -> bool:
        """Whether `first` must have succeeded before `then` may be called."""
        return first in self.before.get(then, set())


def url(name: str) -> str:
    return f"http://bank/{name}"


def _aside(rng: random.Random, verbs: tuple[str, ...], body: dict) -> list[Step]:
    """Now and then somebody else asks for something at a random moment."""
    if rng.random() < 0.6:
        return []
    return [Step(rng.choice(verbs), body, after=rng.uniform(0, 3), stubborn=False, aside=True)]


def saga(rng: random.Random) -> Scenario:
    count = rng.randint(1, 4)
    ids = [f"{i + 1:02d}" for i in range(count)]
    concurrent = rng.random() < 0.4
    orders = {str(i): sorted(rng.sample(range(i), rng.randint(1, i))) for i in range(1, count) if rng.random() < 0.5}
    body: dict = {
        "gid": GID,
        "trans_type": "saga",
        "steps": [{"action": url("do"), "compensate": url("undo") if rng.random() < 0.9 else ""} for _ in ids],
        "payloads": ["{}"] * count,
    }
    if concurrent:
        body["custom_data"] = json.dumps({"concurrent": True, "orders": orders})
    if rng.random() < 0.3:
        body["timeout_to_fail"] = rng.randint(1, 4)
    if rng.random() < 0.3:
        body["retry_limit"] = rng.randint(1, 3)
    before = {ids[i]: {ids[j] for j in (orders.get(str(i), []) if concurrent else range(i))} for i in range(count)}
    verdicts = {(branch_id, "action"): "failure" for branch_id in ids if rng.random() < 0.15}
    submit = Step("submit", body)
    again = [Step("submit", body, after=rng.uniform(0, 2))] if rng.random() < 0.3 else []
    aside = _aside(rng, ("abort", "submit", "force-stop"), body)
    return Scenario([submit, *again, *aside], verdicts, before)


def _two_phase(rng: random.Random, trans_type: str, register: dict) -> Scenario:
    base = {"gid": GID, "trans_type": trans_type}
    if rng.random() < 0.3:
        base["timeout_to_fail"] = rng.randint(1, 3)
    steps = [Step("prepare", base)]
    for index in range(rng.randint(0, 3)):
        body = {"gid": GID, "trans_type": trans_type, "branch_id": f"{index + 1:02d}", **register}
        steps += [Step("register", body, after=rng.uniform(0, 0.5))] * rng.choice((1, 1, 2))
    end = rng.choice(("submit", "submit", "abort", None))
    if end:
        steps.append(Step(end, base, after=rng.uniform(0, 0.5)))
    return Scenario([*steps, *_aside(rng, ("submit", "abort"), base)])


def tcc(rng: random.Random) -> Scenario:
    return _two_phase(rng, "tcc", {"confirm": url("confirm"), "cancel": url("cancel"), "data": "{}"})


def xa(rng: random.Random) -> Scenario:
    return _two_phase(rng, "xa", {"url": url("xa")})


def msg(rng: random.Random) -> Scenario:
    count = rng.randint(1, 3)
    body: dict = {
        "gid": GID,
        "trans_type": "msg",
        "steps": [{"action": url("do")}] * count,
        "payloads": ["{}"] * count,
        "query_prepared": url("query"),
        "concurrent": rng.random() < 0.4,
    }
    delay = rng.choice((0, 0, 1, 3))
    if delay:
        body["custom_data"] = json.dumps({"delay": delay})
    if rng.random() < 0.3:
        body["timeout_to_fail"] = rng.randint(1, 3)
    steps = [Step("prepare", body)] if rng.random() < 0.7 else []
    end = rng.choice(("submit", "submit", "abort", None)) if steps else "submit"
    if end:
        steps.append(Step(end, body, after=rng.uniform(0, 4)))
    verdicts = {("00", "msg"): rng.choice(("success", "failure"))}
    ids = [f"{i + 1:02d}" for i in range(count)]
    before = {} if body["concurrent"] else {ids[i]: set(ids[:i]) for i in range(count)}
    return Scenario([*steps, *_aside(rng, ("submit", "abort", "prepare"), body)], verdicts, before, delay)
