"""kill -9 before and after each message that a coordinator exchanges: whoever goes on, everything comes right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from points import FORMS, SCENARIOS, Play, Point

from tests.support.invariants_of_books import check
from tests.support.mariadb import MariaDB


@pytest.mark.timeout(600)
def test_every_point(tmp_path: Path, mariadb: MariaDB, tell: Callable[[str], None]) -> None:
    play = Play(tmp_path, mariadb)
    try:
        moments = play.play(Point(scenario, form, 0) for scenario in SCENARIOS for form in FORMS)
        points = [Point(dry.scenario, dry.form, at) for dry, count in moments.items() for at in range(1, count + 1)]
        reached = [point for point, seen in play.play(points).items() if seen]
        history = play.history()
    finally:
        play.close()
    for form in FORMS:
        counts = Counter(point.scenario.name for point in reached if point.form == form)
        tell(f"crash points, {form}: {counts.total()} ({', '.join(f'{name} {n}' for name, n in counts.items())})")
    assert check(history) == []
    for point in points:
        assert history.status(point.transfer.gid) in point.scenario.endings, point
    assert len(reached) > 0.9 * len(points)
    assert len(points) > 200
