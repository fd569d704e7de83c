"""gids over real HTTP: any 128 characters, byte for byte, and never another transaction under one that is taken."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tests.support.inside import Inside
from tests.support.participants import Participants

P = '{"amount":30}'


def saga(participants: Participants, gid: str = "g") -> dict:
    steps = [{"action": participants.url(name)} for name in "ab"]
    return {"gid": gid, "trans_type": "saga", "steps": steps, "payloads": [P, P]}


async def test_the_first_content_stands(inside: Inside, participants: Participants, tmp_path: Path) -> None:
    """Another transaction under a gid that is taken: 409, and the row stays as it is, byte for byte."""

    def row() -> tuple:
        with sqlite3.connect(tmp_path / "dtm.db") as db:
            found = db.execute("SELECT * FROM dtm_transaction").fetchall()
        db.close()
        assert len(found) == 1
        return found[0]

    query = participants.url("query")
    steps = [{"action": participants.url("a")}]
    first = {"gid": "g", "trans_type": "msg", "steps": steps, "payloads": [P], "query_prepared": query}
    assert (await inside.post("prepare", first))[0] == 200
    before = row()
    others = [
        saga(participants),
        {"gid": "g", "trans_type": "tcc"},
        {**first, "payloads": ['{"amount":31}']},
        {**first, "payloads": [P, P]},
        {**first, "steps": [{"action": participants.url("b")}]},
        {**first, "steps": []},
        {**first, "steps": [{"action": participants.url("a"), "data": P}]},
    ]
    for other in others:
        for verb in ("submit", "prepare"):
            if verb == "prepare" and other["trans_type"] == "saga":
                continue
            status, said = await inside.post(verb, other)
            assert (status, said["dtm_result"], said["status"]) == (409, "FAILURE", "prepared"), other
            assert row() == before
    assert participants.calls == []
    assert await inside.submit(first) == (200, {"dtm_result": "SUCCESS"})
    assert participants.of("g") == ["action 01 POST a"]


async def test_a_gid_may_be_128_characters_of_any_length(inside: Inside, participants: Participants) -> None:
    for gid in ("x" * 128, "日" * 128, "😀" * 128, " ", "a'b\";--", "../%2e%00", "A", "a", "a "):
        assert (await inside.submit(saga(participants, gid)))[0] == 200
        assert await inside.status(gid) == "succeed"
        assert participants.of(gid) == ["action 01 POST a", "action 02 POST b"]
