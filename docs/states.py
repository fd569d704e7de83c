"""Writes docs/states.md (`make states`): the ways through each protocol.

What verbs do stands in the table. What the plan does is what it did in histories of every kind. The same code gives the
same page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from dtm import Ask, Call, Move, Protocol, Status, Verb
from dtm.testing import Faults, History, simulate
from dtm.testing.examine import Examiner
from dtm.testing.requests import examples
from dtm.testing.sources import find_protocol

HERE = Path(__file__).resolve().parent
PLUGINS = HERE.parent / "examples" / "plugins"
BUILT_IN = ("saga", "tcc", "msg", "xa")
EXAMPLES = ("quorum", "escalation")
HISTORIES = 100

HEAD = """# States

The ways through each protocol. Written by `make states`: what verbs do is read off the verb table, what the plan does
was watched in simulations; a test sees to it that the page is current.

An arrow says who moves the transaction: a verb of a client, or **plan**, the protocol itself. Under a status stands
what is called in it. `forceStop`, an operator's last resort, ends any unfinished transaction as `failed`, and is left
out.
"""

Edges = dict[tuple[Status | None, Status], list[str]]


def page() -> str:
    """The whole page."""
    protocols = [*BUILT_IN, *(str(PLUGINS / f"dtm-{name}" / f"dtm_{name}" / "__init__.py") for name in EXAMPLES)]
    return "\n".join([HEAD, *(section(find_protocol(place)) for place in protocols)])


def section(protocol: Protocol) -> str:
    """One protocol."""
    histories = list(watched(protocol))
    lines = ["stateDiagram-v2", *arrows(edges(protocol, histories)), *notes(histories)]
    diagram = "\n    ".join(lines)
    return f"## {protocol.name}\n\n{protocol.summary[0].upper()}{protocol.summary[1:]}.\n\n```mermaid\n{diagram}\n```\n"


def watched(protocol: Protocol) -> Iterator[History]:
    """Each way of a client straight on, whoever of the participants refuses; and many a crooked one."""
    requests = examples(protocol)
    examiner = Examiner(protocol, requests)
    for work in examiner.work(0, 0):
        settings = requests.settings[work.settings]
        yield simulate(protocol, examiner.walks[work.walk], faults=Faults(verdicts=work.verdicts), settings=settings)
    yield from (examiner.generated(seed) for seed in range(HISTORIES))


def edges(protocol: Protocol, histories: Iterable[History]) -> Edges:
    """(from, to) -> who moves it there."""
    found: Edges = {}
    for (verb, source), target in protocol.verbs.items():
        if source is not target or verb == Verb.REGISTER:
            for goal in [target] if isinstance(target, Status) else Status:
                found.setdefault((source, goal), []).append(str(verb))
    for history in histories:
        for planned in history.plans:
            if isinstance(planned.decision, Move):
                who = found.setdefault((planned.snapshot.status, planned.decision.status), [])
                if "plan" not in who:
                    who.append("plan")
    return found


def arrows(found: Edges) -> Iterator[str]:
    """The lines of a diagram, in the order of the statuses."""
    order = [None, *Status]
    for source, target in sorted(found, key=lambda edge: (order.index(edge[0]), order.index(edge[1]))):
        yield f"{source or '[*]'} --> {target}: {', '.join(found[source, target])}"
    for status in Status:
        if status.final and any(target is status for _, target in found):
            yield f"{status} --> [*]"


def notes(histories: Iterable[History]) -> Iterator[str]:
    """What is called, and asked, in each status."""
    called: dict[Status, set[str]] = {}
    for history in histories:
        for planned in history.plans:
            here = called.setdefault(planned.snapshot.status, set())
            if isinstance(planned.decision, Call):
                here |= {f"calls {branch.op}" for branch in planned.decision.branches}
            elif isinstance(planned.decision, Ask):
                here.add("asks the application")
    for status in Status:
        if called.get(status):
            yield f"{status}: {status}<br>{', '.join(sorted(called[status]))}"


if __name__ == "__main__":
    (HERE / "states.md").write_text(page(), encoding="utf-8")
    sys.stdout.write(f"written: {HERE / 'states.md'}\n")
