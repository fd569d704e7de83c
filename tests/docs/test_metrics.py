"""docs/metrics.md names every metric there is, its kind and its labels, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.figures import Figures
from tests.support.inside import Inside
from tests.support.participants import ERROR, Participants

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (.*?) ?\| (.+) \|$", re.MULTILINE)


async def everything(inside: Inside, participants: Participants) -> Figures:
    """The figures after something of each kind has happened."""
    participants.answer("do", *[ERROR] * 4)
    step = {"action": participants.url("do"), "compensate": ""}
    for gid in ("g", "h"):
        await inside.submit({"gid": gid, "trans_type": "saga", "steps": [step], "payloads": ["1"]})
    for _ in range(4):
        await inside.tick(sel=1000)
        participants.answer("do", ERROR)
    return Figures((await inside.app.metrics.scrape()).decode())


async def test_every_metric_is_documented_and_every_documented_one_exists(
    inside: Inside, participants: Participants
) -> None:
    figures = await everything(inside, participants)
    ours = {name: family for name, family in figures.families.items() if name.startswith("dtm_")}
    documented = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _ in ROW.findall(PAGE)}
    assert set(documented) == set(ours)
    for name, (kind, labels) in documented.items():
        family = ours[name]
        assert (name, family.type) == (name, kind)
        assert family.samples, f"{name} has no series: the test does not show its labels"
        assert (name, set(family.samples[0].labels) - {"le"}) == (name, labels)
    assert {name for name in figures.families if not name.startswith("dtm_")} == set(
        re.findall(r"`((?:process|python)_\w+)`", PAGE)
    )
