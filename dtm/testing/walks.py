"""What clients may do with a protocol, read off its verb table."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from dtm.core.lifecycle import Target
from dtm.core.model import Status, Verb
from dtm.core.protocol import Protocol
from dtm.testing.requests import Requests
from dtm.testing.scenario import Step
from dtm.testing.simulator import GID

Body = Mapping[str, Any]
BRANCHES = 2
"""How many branches a simple walk registers wherever that is allowed."""


def first_steps(protocol: Protocol, body: Body) -> Iterator[Step]:
    """This body with each verb that makes something of nothing."""
    for verb, source in protocol.verbs:
        if source is None and verb != Verb.REGISTER:
            yield Step(str(verb), _ours(protocol, body))


def simple_walks(protocol: Protocol, requests: Requests, first: Step) -> Iterator[tuple[Step, ...]]:
    """Each way of a client straight on from this step: nothing more, or one more verb.

    Wherever branches may be registered, once none are and once some.
    """
    target = protocol.verbs[first.verb, None]
    for count in (0, BRANCHES) if protocol.register is not None else (0,):
        begun = (first, *_registrations(protocol, requests, target, range(count)))
        if count and len(begun) == 1:
            continue
        yield begun
        for verb, after in _from(protocol, target):
            more = _registrations(protocol, requests, after, range(count, 2 * count))
            yield (*begun, Step(verb, first.body), *more)


def random_walk(protocol: Protocol, requests: Requests, first: Step, rng: random.Random) -> tuple[Step, ...]:
    """A client who does something, in his own time, and perhaps somebody else who asks for something meanwhile."""
    body = first.body
    target = protocol.verbs[first.verb, None]
    steps = [first]
    for index in range(rng.randint(0, 3) if protocol.register is not None else 0):
        one = _registrations(protocol, requests, target, range(index, index + 1), rng.uniform(0, 0.5))
        steps += [*one] * rng.choice((1, 1, 2))
    ways = list(_from(protocol, target))
    if ways and rng.random() < 0.8:
        verb, after = rng.choice(ways)
        steps.append(Step(verb, body, after=rng.uniform(0, 4)))
        if protocol.register is not None:
            steps += _registrations(protocol, requests, after, range(7, 7 + rng.randint(0, 1)), rng.uniform(0, 0.5))
    elif rng.random() < 0.3:
        steps.append(Step(first.verb, body, after=rng.uniform(0, 2)))
    if rng.random() < 0.4:
        verb = rng.choice(verbs_of(protocol))
        steps.append(Step(verb, body, after=rng.uniform(0, 3), stubborn=False, aside=True))
    return tuple(steps)


def verbs_of(protocol: Protocol) -> tuple[str, ...]:
    """All verbs that anybody may ask for with the body of a transaction."""
    known = {str(verb) for verb, _ in protocol.verbs if verb != Verb.REGISTER}
    return (*sorted(known), str(Verb.FORCE_STOP))


def _ours(protocol: Protocol, body: Body) -> dict[str, Any]:
    return {**body, "gid": GID, "trans_type": protocol.name}


def _from(protocol: Protocol, status: Target) -> Iterator[tuple[str, Target]]:
    """The verbs but for register that a status allows, with their targets; all where it depends on the request."""
    for (verb, source), target in protocol.verbs.items():
        allowed = source is status if isinstance(status, Status) else source is not None
        if allowed and verb != Verb.REGISTER:
            yield str(verb), target


def _registrations(
    protocol: Protocol, requests: Requests, status: Target, numbers: range, after: float = 0.0
) -> Iterator[Step]:
    """Registrations of branches with these numbers (from 0), if this status allows any."""
    if isinstance(status, Status) and (Verb.REGISTER, status) not in protocol.verbs:
        return
    for number in numbers:
        example = requests.registrations[number % len(requests.registrations)]
        body = {**_ours(protocol, example), "branch_id": f"{number + 1:02d}"}
        yield Step(str(Verb.REGISTER), body, after=after)
