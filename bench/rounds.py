"""Interleaved rounds: every subject once per round, so that a machine whose speed drifts treats them alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from bench.load import Load
from bench.measure import Measured, measure
from bench.processes import Process
from bench.subjects import BARE, Subject

COLUMNS = "subject              c   tx/s (min..max)            p50    p99 ms  ping ms  commits  redo B  RSS MiB"


def interleaved(
    subjects: Sequence[Subject], load: Load, rounds: int, participant: Process, url: str
) -> dict[str, list[Measured]]:
    """`rounds` measurements of each, in turn; the order is reversed every other round."""
    seen: dict[str, list[Measured]] = {subject.name: [] for subject in subjects}
    for number in range(rounds):
        for subject in subjects[:: 1 if number % 2 == 0 else -1]:
            seen[subject.name].append(measure(subject, load, participant, url))
    return seen


def middle(rounds: Sequence[Measured], value: Callable[[Measured], float]) -> tuple[float, float, float]:
    """Median, minimum and maximum over rounds."""
    values = [value(measured) for measured in rounds]
    return median(values), min(values), max(values)


def ratio(rounds: Sequence[Measured], base: Sequence[Measured]) -> tuple[float, float, float]:
    """Rates of one subject over those of another, round by round: median, minimum, maximum."""
    ratios = [mine.result.rate / other.result.rate for mine, other in zip(rounds, base, strict=True)]
    return median(ratios), min(ratios), max(ratios)


def cpu_ratio(rounds: Sequence[Measured], base: Sequence[Measured]) -> float:
    """How many requests of the bare handler cost its process as much as one transaction costs the first of ours."""
    own = median(_first_cpu(measured) for measured in rounds)
    return own / median(_first_cpu(measured) for measured in base)


def _first_cpu(measured: Measured) -> float:
    return next(value for name, value in measured.per.items() if name.startswith("cpu:"))


def show(load: Load, seen: dict[str, list[Measured]]) -> None:
    """Print a block: a line per subject, its processor time by process, its ratio to the bare handler."""
    for name, rounds in seen.items():
        rate, low, high = middle(rounds, lambda one: one.result.rate)
        p50, p99, lag, rss = (
            middle(rounds, value)[0]
            for value in (
                lambda one: one.result.p50, lambda one: one.result.p99, lambda one: one.lag, lambda one: one.rss,
            )
        )  # fmt: skip
        per = {key: median(one.per[key] for one in rounds) for key in rounds[0].per}
        rates = f"{rate:8.0f} ({low:.0f}..{high:.0f})"
        commits, redo = (f"{per[key]:8.2f}" if key in per else "       -" for key in ("commits", "redo"))
        say(f"{name:18} {load.connections:4} {rates:26} {p50:7.2f} {p99:7.2f} {lag:7.1f} {commits} {redo} {rss:7.0f}")
        costs = ", ".join(f"{key[4:]} {value:.0f}" for key, value in per.items() if key.startswith("cpu:"))
        line = f"{'':23} CPU us: {costs}"
        if BARE in seen and name != BARE:
            middle_ratio, low, high = ratio(rounds, seen[BARE])
            line += f"; {middle_ratio:.2f} ({low:.2f}..{high:.2f}) of the bare handler's rate"
            if any(key.startswith("cpu:dtm") for key in per):
                line += f", {cpu_ratio(rounds, seen[BARE]):.2f} times its CPU"
        say(line)


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)
