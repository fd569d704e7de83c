"""The command line as people use it: `python -m dtm.cli ...` as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

COMMAND = [sys.executable, "-m", "dtm.cli"]
OF_THE_TERMINAL = {"FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    """This environment without anything that speaks to dtm or to rich, and `more`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DTM_") and k not in OF_THE_TERMINAL}
    return {**kept, **more}


def run(folder: Path, *arguments: str, **variables: str) -> Ran:
    """Run one command of dtm to its end."""
    done = subprocess.run(
        [*COMMAND, *arguments], check=False, cwd=folder, env=environment(**variables), capture_output=True, timeout=60
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
