"""What `dtm conformance` shows: a bar while it works, a table of the laws, the smallest history that breaks each."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from dtm.core.errors import StartupError
from dtm.terminal import harmless, show
from dtm.testing.conformance import conformance
from dtm.testing.report import Report, told
from dtm.testing.sources import find_protocols


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for on the command line."""

    references: Sequence[str]
    laws: str | None
    histories: int
    seed: int
    jobs: int


def examine(order: Order, json_file: str | None) -> bool:
    """Examine all protocols that these references offer, print the reports; whether all keep the laws.

    json_file: where to write the reports as a JSON array, too. StartupError when one of them cannot be examined.
    """
    names = [
        reference if ":" in reference else f"{reference}:{protocol.name}"
        for reference in order.references
        for protocol in find_protocols(reference)
    ]
    reports = [_report(name, order) for name in names]
    for report in reports:
        _print(report)
    if json_file is not None:
        text = json.dumps([report.to_json() for report in reports], indent=2)
        try:
            Path(json_file).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise StartupError(f"cannot write {json_file}: {error.strerror}") from error
    return all(report.ok for report in reports)


def _report(name: str, order: Order) -> Report:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(harmless(name), total=None)
        return conformance(
            name,
            laws=order.laws or (),
            histories=order.histories,
            seed=order.seed,
            jobs=order.jobs,
            progress=lambda done, all_: bar.update(task, completed=done, total=all_),
        )


def _print(report: Report) -> None:
    verdict = Text("conforms", "green") if report.ok else Text("breaks the laws", "bold red")
    histories = f"{report.single} histories with a single fault, {report.generated} generated, {report.seconds:.1f} s"
    if not report.complete:
        histories += ", then given up"
    title = (f"{harmless(report.protocol)} {harmless(report.version)}", "bold")
    show(Text.assemble(title, "  ", verdict, (f"  {histories}", "dim")))
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", style="dim")
    for law in report.verdicts:
        mark = Text("  broken", "red") if law.broken else Text("  kept", "green")
        table.add_row(mark, Text(harmless(law.law)), Text(harmless(law.sentence)))
    show(table)
    for law in report.verdicts:
        if law.example is not None:
            show(Text(f"\n{harmless(law.law)}: {harmless(law.example.how)}", "red"))
            if law.example.history is not None:
                show(*(Text(f"  {harmless(line)}") for line in told(law.example.history)))
    show(Text())
