"""Examining one protocol in one process: which histories there are, and which laws they break."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dtm.core.model import Key
from dtm.core.protocol import Protocol
from dtm.testing.history import History
from dtm.testing.law import Law
from dtm.testing.laws import LAWS
from dtm.testing.order import Order, learned, undone_in_reverse
from dtm.testing.requests import NoExamples, Requests
from dtm.testing.saved import as_json
from dtm.testing.scenario import REPLIES, STRIKES, Faults, Step
from dtm.testing.simulator import simulate
from dtm.testing.walks import first_steps, random_walk, simple_walks, verbs_of

CHUNK = 100
"""Generated histories in one piece of work."""

ENOUGH = 25
"""Violations after which nobody needs more of them."""

SEED = 1
"""For the histories in which nothing is left to chance but how long things take."""


PASSING = ("timeout_to_fail", "retry_limit")
"""Options that end a transaction early, but do not change in what order it works."""


@dataclass(frozen=True, slots=True)
class Work:
    """A piece of work: every single fault of one walk, or the generated histories with these seeds."""

    settings: int
    walk: int = 0
    verdicts: Mapping[Key, str] = field(default_factory=dict)
    seeds: range | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """A law that a history broke, how, and the history as `saved.as_json` writes it."""

    law: str
    how: str
    history: Mapping[str, Any]


@dataclass(slots=True)
class Tally:
    """What a piece of work came to."""

    single: int = 0
    generated: int = 0
    broken: list[Broken] = field(default_factory=list)
    complete: bool = True
    """Whether it was done to its end."""


class Examiner:
    """Knows the walks of one protocol. NoExamples when a request is refused by every verb."""

    def __init__(self, protocol: Protocol, requests: Requests, more: Sequence[Law] = ()) -> None:
        self.protocol = protocol
        self.requests = requests
        self.laws = (*more, *LAWS)
        self.starts = list(self._starts())
        self.walks = [walk for first in self.starts for walk in simple_walks(protocol, requests, first)]
        self._orders: dict[tuple[str, int], Law] = {}

    def _starts(self) -> Iterator[Step]:
        """The first steps that are accepted: a request may suit one verb and not another."""
        for number, body in enumerate(self.requests.bodies, start=1):
            refusals = []
            for first in first_steps(self.protocol, body):
                refused = next(self._run([first], 0).of("refused"), None)
                if refused is None:
                    yield first
                else:
                    refusals.append(f"{first.verb}: {refused.why}")
            if len(refusals) == len(list(first_steps(self.protocol, body))):
                raise NoExamples(f"protocol {self.protocol.name!r}: request {number} is refused by {refusals[0]}")

    def must_call(self) -> None:
        """NoExamples when none of the requests has anybody called: then there is nothing that could break a law."""
        if not any(self._run(walk, 0).calls for walk in self.walks):
            raise NoExamples(
                f"protocol {self.protocol.name!r}: none of the requests has anybody called: "
                "does the plan ask for operations that there are, and are there urls?"
            )

    def _run(self, steps: Sequence[Step], settings: int, faults: Faults | None = None, seed: int = SEED) -> History:
        given = self.requests.settings[settings]
        return simulate(self.protocol, steps, seed=seed, faults=faults or Faults(), settings=given)

    # Which histories there are

    def work(self, histories: int, seed: int) -> Iterator[Work]:
        """All there is to do: every single fault of every simple walk, then this many generated histories."""
        for settings in range(len(self.requests.settings)):
            for walk in range(len(self.walks)):
                for verdicts in self._worlds(walk, settings):
                    yield Work(settings, walk, verdicts)
        kinds = len(self.requests.settings)
        for number, start in enumerate(range(0, histories, CHUNK)):
            yield Work(number % kinds, seeds=range(seed + start, seed + min(start + CHUNK, histories)))

    def _worlds(self, walk: int, settings: int) -> Iterator[Mapping[Key, str]]:
        """The worlds in which no fault happens: all agree, or one branch that may say no does."""
        yield {}
        history = self._run(self.walks[walk], settings)
        for key in dict.fromkeys(event.key for event in history.of("request")):
            op = self.protocol.ops.get(key[1]) if key else None
            if key is not None and (op is None or op.may_fail):
                yield {key: "failure"}

    def examined(self, work: Work) -> Tally:
        """Do one piece of work, or as much of it as it takes to see that nothing is right."""
        tally = Tally()
        for history in self._single_faults(work) if work.seeds is None else self._by_chance(work):
            if work.seeds is None:
                tally.single += 1
            else:
                tally.generated += 1
            self._judge(history, work, tally)
            if len(tally.broken) >= ENOUGH:
                tally.complete = False
                break
        return tally

    def _by_chance(self, work: Work) -> Iterator[History]:
        yield from (self.generated(seed, work.settings) for seed in work.seeds or ())

    def _single_faults(self, work: Work) -> Iterator[History]:
        """Nothing goes wrong; then one thing, at every place at which it can."""
        walk = self.walks[work.walk]
        for nodes in (1, 2):
            world = Faults(verdicts=work.verdicts, nodes=nodes)
            calm = self._run(walk, work.settings, world)
            yield calm
            for call in range(calm.calls) if nodes == 1 else ():
                for reply in REPLIES[1:]:
                    yield self._run(walk, work.settings, replace(world, replies={call: reply}))
            for point in range(calm.points):
                for strike in self._strikes(walk, nodes):
                    yield self._run(walk, work.settings, replace(world, strikes={point: strike}))

    def _strikes(self, walk: Sequence[Step], nodes: int) -> Iterator[str]:
        """What may strike: alone, whatever needs no second node; in company, whatever another node may take part in."""
        if nodes == 1:
            yield from (strike for strike in STRIKES if strike != "stall")
            return
        yield from ("crash", "stop", "stall")
        yield from (f"step {number}" for number in range(len(walk)))
        yield from (verb for verb in verbs_of(self.protocol) if verb not in {step.verb for step in walk})

    def generated(self, seed: int, settings: int = 0) -> History:
        """The history that a seed tells: a walk, and the weather."""
        rng = random.Random(f"{self.protocol.name} {seed}")
        first = rng.choice(self.starts)
        first = replace(first, body=_varied(first.body, rng))
        walk = random_walk(self.protocol, self.requests, first, rng)
        faults = Faults(
            trouble=rng.choice((0.0, 0.2, 0.5)),
            strike=rng.choice((0.0, 0.05, 0.15)),
            refusal=rng.choice((0.0, 0.15)),
            nodes=rng.choice((1, 1, 2)),
            back=rng.choice((0.1, 1.0, 5.0)),
        )
        return self._run(walk, settings, faults, seed)

    # Which laws they break

    def _judge(self, history: History, work: Work, tally: Tally) -> None:
        for law in self.laws_for(history, work.settings):
            if law.rarely and work.seeds is not None:
                continue
            if hows := law.broken_by(history, self.protocol):
                tally.broken.append(Broken(law.name, hows[0], as_json(history)))

    def laws_for(self, history: History, settings: int) -> Iterator[Law]:
        """All laws, among them the one that depends on the order in which this very request is worked off."""
        yield from self.laws
        if self.protocol.undoable:
            yield self._reverse(history.steps[0], settings)

    def _reverse(self, first: Step, settings: int) -> Law:
        body = {key: value for key, value in first.body.items() if key not in PASSING}
        known = (repr(body), settings)
        if known not in self._orders:
            order = self._order(Step(first.verb, body), settings)
            self._orders[known] = undone_in_reverse(order)
        return self._orders[known]

    def _order(self, first: Step, settings: int) -> Order:
        def simple() -> Iterator[History]:
            for walk in simple_walks(self.protocol, self.requests, first):
                calm = self._run(walk, settings)
                yield calm
                for call in range(calm.calls):
                    yield self._run(walk, settings, Faults(replies={call: "ongoing"}))

        return learned(simple(), self.protocol)

    def law(self, name: str, history: History, settings: int) -> Law:
        """The law of this name that applies to this history."""
        return next(law for law in self.laws_for(history, settings) if law.name == name)

    def fingerprint(self) -> str:
        """What this process makes of a few histories: every process must make the same of them."""
        digest = hashlib.sha256()
        for walk in self.walks[:20]:
            digest.update(self._run(walk, 0).story().encode())
        for seed in range(20):
            digest.update(self.generated(seed, 0).story().encode())
        return digest.hexdigest()


def _varied(body: Mapping[str, Any], rng: random.Random) -> dict[str, Any]:
    """The same request with some of the options that every transaction has."""
    varied = dict(body)
    if rng.random() < 0.3:
        varied["timeout_to_fail"] = rng.randint(1, 4)
    if rng.random() < 0.3:
        varied["retry_limit"] = rng.randint(1, 3)
    if rng.random() < 0.2:
        varied["concurrent"] = True
    return varied
