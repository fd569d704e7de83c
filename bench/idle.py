"""What a coordinator takes when it has nothing to do, and what it still has after ten minutes of work."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import linear_regression, median

from bench.load import Load
from bench.rounds import say
from bench.subjects import OnSqlite, Subject

STARTS = 5
SAMPLE_SECONDS = 10.0


def idle(folder: Path) -> None:
    """Time until the ready line, resident memory once it is there."""
    ready, rss = [], []
    for number in range(STARTS):
        subject = OnSqlite(folder / f"idle-{number}")
        ready.append(subject.processes["dtm"].ready_after)
        time.sleep(0.5)
        rss.append(subject.processes["dtm"].rss())
        subject.stop()
    say(f"\nIdle on SQLite: {median(rss):.1f} MiB resident, ready after {median(ready):.2f} s (best {min(ready):.2f})")


def soak(subject: Subject, url: str, minutes: float) -> None:
    """Sagas at c = 64 for a long time: the slopes of memory and of open files, once warmed up."""
    process = subject.processes["dtm"]
    say(f"\nSoak of {subject.name}, c = 64, {minutes:g} minutes")
    load = Load(64, SAMPLE_SECONDS)
    load.run(subject.url, url)
    began = time.monotonic()
    at, rss, files, rates = [], [], [], []
    while time.monotonic() - began < 60 * minutes:
        rates.append(load.run(subject.url, url).rate)
        at.append((time.monotonic() - began) / 60)
        rss.append(process.rss())
        files.append(float(process.files()))
    for name, values, unit in (("RSS", rss, "MiB"), ("open files", files, "files")):
        slope = linear_regression(at, values).slope if len(at) > 1 else 0.0
        say(f"{name}: {values[0]:.1f} to {values[-1]:.1f} {unit}, slope {slope:+.3f} {unit} a minute")
    say(f"sagas/s: {median(rates):.0f} ({min(rates):.0f}..{max(rates):.0f})")
