"""Bodies of requests, as the SDKs send them."""

from __future__ import annotations

import json
from typing import Any

from tests.support.inside import Inside
from tests.support.participants import Participants

P = '{"amount":30,"trans_in_result":"","trans_out_Result":"","store":""}'
SUCCESS = (200, {"dtm_result": "SUCCESS"})


def old(result: str) -> tuple[int, str]:
    """How participants of 2021 answer: always 200, the result in the body."""
    return 200, json.dumps({"dtm_result": result})


def saga(participants: Participants, gid: str, *names: str, **more: Any) -> dict[str, Any]:
    """A saga of the named actions; each is compensated at its name with `Revert` behind. "" calls nobody."""
    steps = [
        {"action": name and participants.url(name), "compensate": name and participants.url(f"{name}Revert")}
        for name in names
    ]
    return {"gid": gid, "trans_type": "saga", "steps": steps, "payloads": [P] * len(steps), **more}


def saga2(participants: Participants, gid: str, **more: Any) -> dict[str, Any]:
    """SAGA2 of the contract: money out, money in."""
    return saga(participants, gid, "TransOut", "TransIn", **more)


def msg(participants: Participants, gid: str, *actions: str, **more: Any) -> dict[str, Any]:
    """A message to the named participants, or to topics (`topic://NAME`)."""
    steps = [{"action": name if "://" in name else participants.url(name)} for name in actions]
    body = {"gid": gid, "trans_type": "msg", "steps": steps, "payloads": [P] * len(steps)}
    return body | {"query_prepared": participants.url("QueryPrepared")} | more


def msg2(participants: Participants, gid: str, **more: Any) -> dict[str, Any]:
    """A message to two."""
    return msg(participants, gid, "TransOut", "TransIn", **more)


def tcc(gid: str, **more: Any) -> dict[str, Any]:
    """The body of a tcc's prepare, submit and abort."""
    return {"gid": gid, "trans_type": "tcc", **more}


def xa(gid: str, **more: Any) -> dict[str, Any]:
    """The body of an xa's prepare, submit and abort."""
    return {"gid": gid, "trans_type": "xa", **more}


def tcc_branch(participants: Participants, gid: str, branch_id: str, name: str, **more: str | None) -> dict[str, Any]:
    """A branch with confirm `<name>Confirm` and cancel `<name>Revert`."""
    return {
        "gid": gid,
        "trans_type": "tcc",
        "branch_id": branch_id,
        "data": P,
        "confirm": participants.url(f"{name}Confirm"),
        "cancel": participants.url(f"{name}Revert"),
    } | more


def xa_branch(participants: Participants, gid: str, branch_id: str, name: str) -> dict[str, Any]:
    """A branch whose commit and rollback are called at one url."""
    return {"gid": gid, "trans_type": "xa", "branch_id": branch_id, "url": participants.url(name)}


async def prepared_tcc(inside: Inside, participants: Participants, gid: str, *names: str, **options: Any) -> None:
    """Prepare a tcc and register a branch per name."""
    assert await inside.post("prepare", tcc(gid, **options)) == SUCCESS
    for number, name in enumerate(names, start=1):
        body = tcc_branch(participants, gid, f"{number:02d}", name)
        assert await inside.post("registerBranch", body) == SUCCESS


async def prepared_xa(inside: Inside, participants: Participants, gid: str, *names: str, **options: Any) -> None:
    """Prepare an xa and register a branch per name."""
    assert await inside.post("prepare", xa(gid, **options)) == SUCCESS
    for number, name in enumerate(names, start=1):
        assert await inside.post("registerBranch", xa_branch(participants, gid, f"{number:02d}", name)) == SUCCESS
