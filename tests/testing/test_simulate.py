"""The simulator, as an author of a protocol uses it: scripted histories, stories, mistakes in the call."""

from __future__ import annotations

import pytest

from dtm.plugins.saga import PROTOCOL as SAGA
from dtm.testing import Faults, Step, simulate

BODY = {"gid": "g", "trans_type": "saga", "steps": [{"action": "http://a/do", "compensate": "http://a/undo"}]}
BODY |= {"payloads": ["{}"]}


def test_a_script_is_followed() -> None:
    script = {("01", "action"): ["refused", "ongoing", "lost", "late", "error", "success"]}
    history = simulate(SAGA, BODY, script=script)
    assert history.quiet
    assert history.final is not None
    assert history.final.status == "succeed"
    kinds = [event.kind if event.kind == "lost" else event.text for event in history.of("reply", "lost")]
    assert kinds == ["ongoing", "lost", "lost", "error", "success"]


def test_a_story_tells_why() -> None:
    history = simulate(SAGA, [Step("submit", BODY), Step("prepare", BODY)])
    assert "refused prepare (/trans_type: this protocol does not know the verb 'prepare')" in history.story()
    assert history.story().startswith("seed 0\n")
    assert history.story().endswith("final: succeed")


def test_a_crash_at_a_given_write() -> None:
    history = simulate(SAGA, [Step("submit", BODY)], faults=Faults(strikes={1: "crash"}))
    assert [event.kind for event in history.of("crash", "claim")] == ["crash", "claim"]
    assert history.final is not None
    assert history.final.status == "succeed"


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "at least one step"),
        ([Step("submit", BODY), Step("submit", {**BODY, "gid": "other"})], "one gid in all of them"),
    ],
)
def test_mistakes_in_the_call_are_named(steps: list[Step], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate(SAGA, steps)


def test_unknown_words_are_named() -> None:
    with pytest.raises(ValueError, match="unknown verb 'sbmit': expected one of prepare, submit"):
        Step("sbmit", BODY)
    with pytest.raises(ValueError, match="unknown strike 'crush': expected one of crash, stop"):
        Faults(strikes={0: "crush"})
    with pytest.raises(ValueError, match="unknown reply 'FAILURE'"):
        Faults(verdicts={("01", "action"): "FAILURE"})
    with pytest.raises(ValueError, match="unknown reply 'yes'"):
        Faults(script={("01", "action"): ["success", "yes"]})
