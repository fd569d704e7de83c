"""What `import dtm.client` costs above httpx: `python3 -m bench.imports`. The least of several runs."""

from __future__ import annotations

import re
import subprocess
import sys

RUNS = 7


def measured() -> tuple[float, float]:
    """Milliseconds for httpx, and for dtm.client once httpx is there; each in a process that has loaded neither."""
    command = [sys.executable, "-X", "importtime", "-c", "import httpx, dtm.client"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    times = {
        name: int(took) / 1000 for took, name in re.findall(r"\| +(\d+) \| (httpx|dtm\.client)$", told, re.MULTILINE)
    }
    return times["httpx"], times["dtm.client"]


def main() -> None:
    """Print one line."""
    runs = [measured() for _ in range(RUNS)]
    httpx, client = (min(times) for times in zip(*runs, strict=True))
    print(f"httpx {httpx:.0f} ms, dtm.client {client:.0f} ms more")


if __name__ == "__main__":
    main()
