"""Logs of a real process: every line about a transaction has gid, pass and node as fields of their own."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.support.coordinator import FAST, Coordinator
from tests.support.figures import Figures, scrape
from tests.support.participants import ERROR, Participants

GIDS = ("g-1", "g-2", "g-3")


def lines(coordinator: Coordinator) -> list[dict]:
    return [json.loads(line) for line in coordinator.log.read_text().splitlines()]


def test_lines_about_a_transaction_say_so_in_fields(tmp_path: Path, participants: Participants) -> None:
    environment = {**FAST, "DTM_LEASE": "1", "DTM_LOG_LEVEL": "debug"}
    with Coordinator(tmp_path, **environment) as coordinator:
        participants.answer("do", *[ERROR] * 9)
        steps = [{"action": participants.url("do"), "compensate": ""}]
        for gid in GIDS:
            body = {"gid": gid, "trans_type": "saga", "steps": steps, "payloads": ["1"]}
            assert coordinator.client.post("submit", body)[0] == 200
        for gid in GIDS:
            coordinator.client.until_final(gid)
        node = next(iter(Figures(scrape(coordinator.url)).families["dtm_node_info"].samples)).labels["node"]
        assert coordinator.terminate() == 0
    written = lines(coordinator)
    about = [line for line in written if "gid=" in line["message"]]
    assert {line["gid"] for line in about} == set(GIDS)
    for line in about:
        assert line["gid"] == re.search(r"gid=(\S+?)[:,]?(?:\s|$)", line["message"])[1]
        assert isinstance(line["pass"], int)
    assert {line["node"] for line in written if line["logger"] != "asyncio"} == {node}
    assert all("gid" not in line for line in written if line["message"].startswith(("started", "draining", "stopped")))
    passes = {gid: {line["pass"] for line in about if line["gid"] == gid} for gid in GIDS}
    assert len(set.union(*passes.values())) == sum(len(numbers) for numbers in passes.values()), passes
