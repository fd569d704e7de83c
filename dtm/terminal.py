"""Where people read what `dtm` prints: colours and boxes on a terminal, plain text anywhere else."""

from __future__ import annotations

import io
import sys

from rich.console import Console

PIPED_WIDTH = 120


def stdout() -> Console:
    """A console on stdout. What its encoding cannot say is shown as an escape, never an error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)


def harmless(text: str) -> str:
    """The text on one line, control characters as escapes: what strangers wrote must not command a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
