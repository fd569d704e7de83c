"""Contract 3.9: what each request hears in each status, what comes of it, and that a refusal leaves no trace."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.inside import Inside
from tests.support.participants import ONGOING, Participants, failure
from tests.vectors.bodies import SUCCESS, msg2, prepared_tcc, prepared_xa, saga2, tcc, tcc_branch, xa, xa_branch

STATUSES = ("none", "prepared", "submitted", "aborting", "succeed", "failed")
VERBS = ("prepare", "submit", "abort", "registerBranch", "forceStop")

TWO_PHASE = """
none       200 200 404 409 404
prepared   200 200 200 200 200
submitted  409 200 409 409 200
aborting   409 409 200 409 200
succeed    409 409 409 409 409
failed     409 409 409 409 409
"""
TABLES = {
    "tcc": TWO_PHASE,
    "xa": TWO_PHASE,
    "msg": """
none       200 200 404 400 404
prepared   200 200 200 400 200
submitted  409 200 409 400 200
succeed    409 409 409 400 409
failed     409 409 409 400 409
""",
    "saga": """
none       400 200 404 400 404
submitted  400 200 200 400 200
aborting   400 409 200 400 200
succeed    400 409 409 400 409
failed     400 409 409 400 409
""",
}
GOALS = {
    "prepare": "prepared",
    "submit": "submitted",
    "abort": "aborting",
    "registerBranch": "prepared",
    "forceStop": "failed",
}
SPECIAL = {
    ("msg", "prepared", "abort"): "failed",
    ("tcc", "none", "submit"): "succeed",  # without a branch there is nothing to do
    ("xa", "none", "submit"): "succeed",
}
CASES = [
    (trans_type, line.split()[0], verb, int(code))
    for trans_type, table in TABLES.items()
    for line in table.strip().splitlines()
    for verb, code in zip(VERBS, line.split()[1:], strict=True)
]


def body_of(participants: Participants, trans_type: str) -> dict[str, Any]:
    bodies = {"tcc": tcc("g"), "xa": xa("g"), "msg": msg2(participants, "g"), "saga": saga2(participants, "g")}
    return bodies[trans_type]


async def bring(inside: Inside, participants: Participants, trans_type: str, status: str) -> None:
    """Bring transaction g into a status; every participant answers ONGOING from then on."""
    body = body_of(participants, trans_type)
    if status != "succeed":
        participants.default = ONGOING
    if status == "none":
        return
    if trans_type == "saga":
        if status in ("aborting", "failed"):
            participants.answer("TransOut", failure("no"))
        await inside.submit(body)
        if status == "failed":
            participants.answer("TransOutRevert", (200, ""))
            await inside.tick()
    else:
        if trans_type == "msg":
            await inside.post("prepare", body)
        else:
            prepare = prepared_tcc if trans_type == "tcc" else prepared_xa
            await prepare(inside, participants, "g", "TransOut")
        if status == "failed":
            participants.answer("TransOutRevert" if trans_type == "tcc" else "TransOut", (200, ""))
        verb = {"submitted": "submit", "succeed": "submit", "aborting": "abort", "failed": "abort"}.get(status)
        if verb:
            assert await inside.post(verb, body) == SUCCESS
            await inside.idle()
    participants.default = ONGOING
    assert await inside.status("g") == status


@pytest.mark.parametrize(("trans_type", "status", "verb", "code"), CASES)
async def test_what_a_request_hears(
    inside: Inside, participants: Participants, trans_type: str, status: str, verb: str, code: int
) -> None:
    await bring(inside, participants, trans_type, status)
    before = await inside.get("query", gid="g")
    calls = len(participants.calls)
    body = body_of(participants, trans_type)
    if verb == "registerBranch":
        branch = tcc_branch if trans_type == "tcc" else xa_branch
        body = branch(participants, "g", "02", "TransIn") | {"trans_type": trans_type}
    said, reply = await inside.post(verb, body)
    await inside.idle()
    assert said == code, reply
    if code == 200:
        assert reply == {"dtm_result": "SUCCESS"}
        assert await inside.status("g") == SPECIAL.get((trans_type, status, verb), GOALS[verb])
        return
    assert await inside.get("query", gid="g") == before
    assert len(participants.calls) == calls
    if code == 409:
        assert reply["dtm_result"] == "FAILURE"
        assert reply["message"].endswith(" FAILURE")
        assert reply.get("status", "none") == status
    else:
        assert "dtm_result" not in reply
        assert reply["message"]
