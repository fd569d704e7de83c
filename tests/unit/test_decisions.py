"""Decisions read well in `match`, and are plain values."""

from __future__ import annotations

from dtm.core.decisions import Ask, Call, Decision, Move, Wait
from dtm.core.model import Branch, Status

BRANCH = Branch("01", "action", "http://h/a")


def test_defaults() -> None:
    assert Call((BRANCH,)) == Call((BRANCH,), until=None, quick_tries=0)
    assert Ask("msg", "http://h") == Ask("msg", "http://h", payload=b"", branch_id="00")
    assert Move(Status.SUCCEED) == Move(Status.SUCCEED, reason="", result=None)
    assert Wait() == Wait(None)


def test_positional_matching() -> None:
    def name(decision: Decision) -> str:
        match decision:
            case Call((first, *_), until, quick_tries):
                return f"call {first.op} {until} {quick_tries}"
            case Ask(op, url):
                return f"ask {op} {url}"
            case Move(status, reason, result):
                return f"move {status} {reason} {result}"
            case Wait(until):
                return f"wait {until}"

    decisions = [Call((BRANCH,), 7, 2), Ask("q", "http://h"), Move(Status.FAILED, "why", "what"), Wait(3)]
    assert [name(d) for d in decisions] == ["call action 7 2", "ask q http://h", "move failed why what", "wait 3"]
