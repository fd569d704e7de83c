"""Two-phase message: calls that are made if, and only if, the application's own local transaction committed.

The client prepares the message, commits its local transaction and submits. If it dies in between, the time-out passes
and the coordinator asks the application at `query_prepared` how the local transaction ended: SUCCESS submits the
message, FAILURE ends it without a call. A submitted message never rolls back: each action is called until it succeeds.

An action `topic://NAME` stands for all urls subscribed to that topic when the message is created. custom_data may say
`{"delay": seconds}`, counted from creation; the option `concurrent` calls all actions together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dtm

TOPIC = "topic://"
QUESTION = "msg"
MAX_DELAY = 2**31 - 1


def expand(request: dtm.Request) -> list[dtm.Branch]:
    """One action branch per step, or one per subscriber of its topic; each carries the step's payload."""
    body = request.body
    if request.verb == dtm.Verb.PREPARE and not body.get("query_prepared"):
        raise dtm.InvalidRequest("/query_prepared", "expected the url that tells how the local transaction ended")
    delay = _delay(request.custom)
    if type(delay) is not int or not 0 <= delay <= MAX_DELAY:
        raise dtm.InvalidRequest("/custom_data", f"delay must be a whole number of seconds, 0 to {MAX_DELAY}")
    steps = body.get("steps", ())
    payloads = _payloads(steps, body.get("payloads", ()))
    return [
        dtm.Branch(branch_id, "action", url, payloads[index])
        for index, step in enumerate(steps)
        for branch_id, url in _targets(request, index, step.get("action", ""))
    ]


def _payloads(steps: Any, payloads: Any) -> list[bytes]:
    texts = [*payloads, *(step["data"] for step in steps if step.get("data"))]  # clients of 2021 send `data`
    if len(texts) < len(steps):
        raise dtm.InvalidRequest("/payloads", f"expected one for each of the {len(steps)} steps, got {len(texts)}")
    return [text.encode() for text in texts]


def _targets(request: dtm.Request, index: int, action: str) -> list[tuple[str, str]]:
    """(branch_id, url) of each call that a step stands for."""
    step_id = f"{index + 1:02d}"
    if not action.startswith(TOPIC):
        return [(step_id, action)]
    name = action.removeprefix(TOPIC)
    urls = request.topic(name)
    if urls is None:
        raise dtm.InvalidRequest(f"/steps/{index}/action", f"topic not found: {name}")
    if len(urls) == 1:
        return [(step_id, urls[0])]
    return [(f"{step_id}-{number:02d}", url) for number, url in enumerate(urls, start=1)]


def _delay(custom: Mapping[str, Any]) -> Any:
    """Seconds; the one key that is matched in any case, because SDKs write it both ways. Null means absent."""
    given = [value for key, value in custom.items() if key.lower() == "delay" and value is not None]
    return given[-1] if given else 0


def plan(snapshot: dtm.Snapshot) -> dtm.Decision:
    """While prepared: wait, then ask. Once submitted: wait out the delay, then call until all have succeeded."""
    if snapshot.status is dtm.Status.PREPARED:
        return _check_back(snapshot)
    start = snapshot.created + _delay(snapshot.custom) * 1000
    if start > snapshot.now:
        return dtm.Wait(start)
    actions = snapshot.op("action")
    if dtm.ordering.all_succeeded(actions):
        return dtm.Move(dtm.Status.SUCCEED)
    order = dtm.ordering.at_once if snapshot.options.concurrent else dtm.ordering.one_by_one
    return dtm.Call(order(actions))


def _check_back(snapshot: dtm.Snapshot) -> dtm.Decision:
    if not snapshot.timed_out:
        return dtm.Wait(snapshot.deadline)
    url, answer = snapshot.request["query_prepared"], snapshot.answers.get(QUESTION)
    if answer is None:
        return dtm.Ask(QUESTION, url)
    if answer.outcome is dtm.Outcome.SUCCESS:
        return dtm.Move(dtm.Status.SUBMITTED)
    return dtm.Move(dtm.Status.FAILED, f"url:{url} return failed: {answer.text or 'fail message lost'}")


PROTOCOL = dtm.Protocol(
    name="msg",
    summary="two-phase message: calls made if, and only if, a local transaction committed",
    ops={"action": dtm.Op()},
    verbs={
        (dtm.Verb.PREPARE, None): dtm.Status.PREPARED,
        (dtm.Verb.SUBMIT, None): dtm.Status.SUBMITTED,
        (dtm.Verb.SUBMIT, dtm.Status.PREPARED): dtm.Status.SUBMITTED,
        (dtm.Verb.ABORT, dtm.Status.PREPARED): dtm.Status.FAILED,
    },
    request_schema="msg.json",
    expand=expand,
    plan=plan,
    unfinished=dtm.Outcome.FAILURE,
)


@dtm.hookimpl
def dtm_register_protocols() -> list[dtm.Protocol]:
    """Offer the two-phase message."""
    return [PROTOCOL]
