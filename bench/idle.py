"""What a coordinator takes when it has nothing to do, and what it still has after ten minutes of work."""

from __future__ import annotations

import math
import time
from pathlib import Path
from statistics import linear_regression, median

from bench.load import Load
from bench.rounds import say
from bench.subjects import OnSqlite, Subject, told

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
    """Sagas at c = 64 for a long time, with a look at what is held after every ten seconds of it, once warmed up."""
    say(f"\nSoak of {subject.name}, c = 64, {minutes:g} minutes")
    load = Load(64, SAMPLE_SECONDS)
    load.run(subject.url, url)
    began = time.monotonic()
    at, rates, held = [], [], []
    while time.monotonic() - began < 60 * minutes:
        rates.append(load.run(subject.url, url).rate)
        time.sleep(0.5)  # until the load's connections are gone
        at.append((time.monotonic() - began) / 60)
        held.append(_held(subject))
    for name in held[0]:
        values = [each[name] for each in held]
        slope = linear_regression(at, values).slope if len(at) > 1 else 0.0
        say(f"{name}: {values[0]:.1f} to {values[-1]:.1f}, slope {slope:+.3f} a minute")
    say(f"sagas/s: {median(rates):.0f} ({min(rates):.0f}..{max(rates):.0f})")


def _held(subject: Subject) -> dict[str, float]:
    """What a coordinator holds when it has nothing to do."""
    process = subject.processes["dtm"]
    tasks = told(subject.url, "dtm_event_loop_tasks")
    return {
        "RSS, MiB": process.rss(),
        "tasks": math.nan if tasks is None else tasks,
        "sockets": process.sockets(),
        "open files": process.files(),
    }
