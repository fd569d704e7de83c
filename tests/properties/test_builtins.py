"""The built-in protocols and the example plugin keep all laws: what `dtm conformance` looks at, and their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dtm.plugins import msg, saga, tcc, xa
from dtm.testing import conformance
from dtm.testing.examine import Examiner
from dtm.testing.requests import examples
from tests.properties import own_laws

HISTORIES = 1000
SUBJECTS = {
    "saga": "tests.properties.own_laws:SAGA",
    "tcc": "tests.properties.own_laws:TCC",
    "msg": "tests.properties.own_laws:MSG",
    "xa": "tests.properties.own_laws:XA",
    "./examples/plugins/broadcast.py": (),
}
PROTOCOLS = [saga.PROTOCOL, tcc.PROTOCOL, msg.PROTOCOL, xa.PROTOCOL]


@pytest.fixture
def _uncovered() -> Iterator[None]:
    """The processes of an examination need all cores, and no coverage, which would double their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("_uncovered")
@pytest.mark.parametrize("subject", SUBJECTS)
def test_it_conforms(subject: str) -> None:
    report = conformance(subject, laws=SUBJECTS[subject], histories=HISTORIES, jobs=2)
    assert report.ok, report
    assert report.complete
    assert report.generated == HISTORIES
    assert report.single > 300


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_histories_are_worth_their_name(protocol) -> None:
    """They reach both ends, crashes, doubt, take-overs by another node, lost replies, racing verbs, jumps."""
    examiner = Examiner(protocol, examples(protocol), getattr(own_laws, protocol.name.upper()))
    kinds, ends, doubt, nodes = set(), set(), False, set()
    for seed in range(200):
        history = examiner.generated(seed)
        kinds |= {event.kind for event in history.events}
        ends.add(history.final and history.final.status)
        doubt = doubt or any(event.text == "doubt" for event in history.of("claim"))
        nodes |= {event.node for event in history.of("claim")}
    assert {"crash", "stop", "stall", "jump", "claim", "lost", "request", "ok", "refused", "unknown"} <= kinds
    assert {"succeed", "failed"} <= ends
    assert doubt
    assert nodes == {"n0", "n1"}
