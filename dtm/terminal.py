"""Where people read what `dtm` prints: colours on a terminal, plain text anywhere else."""

from __future__ import annotations

import io
import sys

from rich.console import Console, RenderableType

PIPED_WIDTH = 10_000
"""Columns where there is no terminal: nothing is folded, so that one line stays one line."""


def show(*parts: RenderableType) -> None:
    """Print to stdout. What its encoding cannot say becomes an escape, never an error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else PIPED_WIDTH, highlight=False, markup=False, emoji=False)
    if terminal:
        console.print(*parts, sep="\n")
        return
    with console.capture() as captured:  # tables fill their columns with spaces, which nobody wants in a file
        console.print(*parts, sep="\n")
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))
    sys.stdout.flush()


def harmless(text: str) -> str:
    """The text on one line, control characters as escapes: what strangers wrote must not command a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
