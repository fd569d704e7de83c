"""kill -9 before and after each message that a coordinator exchanges: whoever goes on, everything comes right."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from points import FORMS, SCENARIOS, Play, Point

from tests.support.invariants_of_books import check
from tests.support.mariadb import MariaDB

ALL = "CRASH_POINTS_ALL" in os.environ
"""Every point in both forms (`make crash-points`), else each in one of them, turn and turn about."""


@pytest.mark.timeout(1200)
def test_every_point(tmp_path: Path, mariadb: MariaDB, tell: Callable[[str], None]) -> None:
    play = Play(tmp_path, mariadb)
    try:
        moments = play.play(Point(scenario, form, 0) for scenario in SCENARIOS for form in FORMS)
        first, step = (dict.fromkeys(FORMS, 1), 1) if ALL else ({form: n for n, form in enumerate(FORMS, 1)}, 2)
        points = [
            Point(dry.scenario, dry.form, at)
            for dry, count in moments.items()
            for at in range(first[dry.form], count + 1, step)
        ]
        reached = [point for point, seen in play.play(points).items() if seen]
        history = play.history()
    finally:
        play.close()
    for form in FORMS:
        counts = Counter(point.scenario.name for point in reached if point.form == form)
        which = "all" if ALL else "every second one"
        names = ", ".join(f"{scenario.name} {counts[scenario.name]}" for scenario in SCENARIOS)
        tell(f"crash points, {form}, {which}: {counts.total()} ({names})")
    assert check(history) == []
    for point in points:
        assert history.status(point.transfer.gid) in point.scenario.endings, point
    assert len(reached) > 0.9 * len(points)
    assert len(points) > (400 if ALL else 200)
