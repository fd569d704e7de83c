"""Any node takes any verb for any transaction, and every node shows what all of them know."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import permutations

import pytest

from tests.support.cluster import Cluster, at_once, saga, until_called
from tests.support.participants import Participants, failure

New = Callable[[], str]


@pytest.mark.parametrize("end", ["submit", "abort"])
def test_each_verb_at_another_node(nodes: Cluster, participants: Participants, gid: New, end: str) -> None:
    op = {"submit": "confirm", "abort": "cancel"}[end]
    urls = {"confirm": participants.url("confirm"), "cancel": participants.url("cancel"), "data": "{}"}
    for first, second, third in permutations(nodes.nodes):
        reference = {"gid": gid(), "trans_type": "tcc"}
        assert nodes[first].post("prepare", reference)[0] == 200
        for node, branch_id in ((second, "01"), (third, "02"), (first, "03"), (second, "03")):
            assert nodes[node].post("registerBranch", {**reference, "branch_id": branch_id, **urls})[0] == 200
        assert nodes[second].post(end, reference, wait_result=1)[0] == 200
        shown = [node.query(reference["gid"]) for node in nodes]
        assert shown[0] == shown[1] == shown[2]
        assert shown[0]["transaction"]["status"] == {"submit": "succeed", "abort": "failed"}[end]
        assert sorted(participants.of(reference["gid"])) == [f"{op} {n} POST {op}" for n in ("01", "02", "03")]


def test_a_message_and_its_topic_wander(nodes: Cluster, participants: Participants, gid: New) -> None:
    """A subscription counts at once on every node, and not for what was created before it."""
    topic = gid()
    step = {"action": f"topic://{topic}"}
    message = {"trans_type": "msg", "steps": [step], "payloads": ["{}"], "query_prepared": participants.url("query")}

    def told(prepare_at: str, submit_at: str) -> list[str]:
        body = {**message, "gid": gid()}
        assert nodes[prepare_at].post("prepare", body)[0] == 200
        assert nodes[submit_at].post("submit", {**body, "wait_result": True})[0] == 200
        return sorted(call.path for call in participants.seen(body["gid"]))

    assert nodes["a"].post("prepare", {**message, "gid": gid()})[0] == 400
    assert nodes["a"].get("subscribe", topic=topic, url=participants.url("x"), remark="")[0] == 200
    assert told("b", "c") == ["x"]
    before = {**message, "gid": gid()}
    assert nodes["c"].post("prepare", before)[0] == 200
    answers = at_once(
        *(partial(nodes[n].get, "subscribe", topic=topic, url=participants.url(n), remark="") for n in "abc")
    )
    assert [status for status, _ in answers] == [200] * 3
    assert told("c", "a") == ["a", "b", "c", "x"]
    assert nodes["b"].get("unsubscribe", topic=topic, url=participants.url("x"))[0] == 200
    assert told("a", "b") == ["a", "b", "c"]
    assert nodes["a"].post("submit", {**before, "wait_result": True})[0] == 200
    assert [call.path for call in participants.seen(before["gid"])] == ["x"]
    assert nodes["c"].request("DELETE", f"/api/dtmsvr/topic/{topic}")[0] == 200
    assert nodes["b"].post("prepare", {**message, "gid": gid()})[0] == 400


def test_waiting_where_the_pass_does_not_run(nodes: Cluster, participants: Participants, gid: New) -> None:
    """They hear how it ended, as those do who wait where it runs."""
    participants.delay("slow", 0.7)
    good, bad = gid(), gid()
    participants.answer("refuses", failure("no"))
    assert nodes["a"].post("submit", saga(participants, good, "slow", "next"))[0] == 200
    assert nodes["a"].post("submit", saga(participants, bad, "slow", "refuses"))[0] == 200
    until_called(participants, good)
    until_called(participants, bad)
    calls = [
        partial(node.post, "submit", saga(participants, name, "slow", then), wait_result=1)
        for name, then in ((good, "next"), (bad, "refuses"))
        for node in nodes
    ]
    answers = at_once(*calls)
    assert answers[:3] == [(200, {"dtm_result": "SUCCESS"})] * 3
    assert {(status, said["status"]) for status, said in answers[3:]} == {(409, "failed")}
    assert participants.of(good) == ["action 01 POST slow", "action 02 POST next"]


def test_one_submit_at_all_nodes_at_once(nodes: Cluster, participants: Participants, gid: New) -> None:
    """One transaction, each action called once, and nobody is told otherwise."""
    for _ in range(15):
        body = saga(participants, gid(), "x", "y", wait_result=True)
        answers = at_once(*(partial(node.post, "submit", body) for node in (*nodes, *nodes)))
        assert {(status, said.get("status", "succeed")) for status, said in answers} <= {
            (200, "succeed"),
            (409, "succeed"),
        }
        assert participants.of(body["gid"]) == ["action 01 POST x", "action 02 POST y"]


def test_other_content_at_another_node(nodes: Cluster, participants: Participants, gid: New) -> None:
    """Racing for one gid, one content wins everywhere; the others hear 409 (I-SM-5)."""
    for _ in range(5):
        name = gid()
        answers = at_once(*(partial(nodes[n].post, "submit", saga(participants, name, n)) for n in "abc"))
        assert sorted(status for status, _ in answers) == [200, 409, 409]
        assert nodes.any().until_final(name) == "succeed"
        winner = "abc"[[status for status, _ in answers].index(200)]
        assert participants.of(name) == [f"action 01 POST {winner}"]


def test_a_verb_runs_what_another_node_has_parked(nodes: Cluster, participants: Participants, gid: New) -> None:
    """A repeated submit and resetNextCronTime make it due now, wherever they arrive; an abort is seen to at once."""
    again, reset, undone = gid(), gid(), gid()
    for name in (again, reset, undone):
        participants.answer(name, (425, "{}"))
        body = saga(participants, name, name, retry_interval=60)
        assert nodes["a"].post("submit", body, wait_result=1)[0] == 409
    assert nodes["b"].post("submit", saga(participants, again, again, retry_interval=60), wait_result=1)[0] == 200
    assert nodes["c"].post("resetNextCronTime", {"gid": reset})[0] == 200
    assert nodes["b"].post("abort", {"gid": undone}, wait_result=1)[0] == 200
    assert nodes["a"].until_final(reset) == "succeed"
    assert participants.of(undone) == [f"action 01 POST {undone}", f"compensate 01 POST {undone}-undo"]
