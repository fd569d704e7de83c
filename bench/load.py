"""wrk as load: what it is told, and what it reports."""

from __future__ import annotations

import json
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).parent / "lua" / "load.lua"
CALLS = {"saga": 1, "msg": 2}
"""Calls of the API per transaction; a tcc has two, and one per branch."""


@dataclass(frozen=True, slots=True)
class Load:
    """`connections` clients that each do one transaction after the other, for `seconds`."""

    connections: int
    seconds: float
    shape: str = "saga"
    branches: int = 2

    @property
    def calls(self) -> int:
        """Calls of the API per transaction."""
        return CALLS.get(self.shape, 2 + self.branches)

    def run(self, url: str, participant: str) -> Result:
        """Put the load on a server. SystemExit when a single answer was no success."""
        prefix = secrets.token_hex(6)
        threads = 1 if self.calls == 1 else self.connections
        done = subprocess.run(
            [
                "wrk", f"-t{threads}", f"-c{self.connections}", f"-d{self.seconds:.0f}s", "--timeout", "30s",
                "-s", str(SCRIPT), url, "--", self.shape, prefix, participant, str(self.branches),
            ],
            capture_output=True,
            text=True,
            check=True,
        )  # fmt: skip
        said = json.loads(done.stdout.splitlines()[-1])
        if said["errors"]:
            raise SystemExit(f"bench: {said['errors']} of {said['responses']} requests failed: {url} {self}")
        transactions = said["responses"] / self.calls
        return Result(transactions, said["us"] / 1e6, said["p50"] / 1000, said["p99"] / 1000)


@dataclass(frozen=True, slots=True)
class Result:
    """Transactions in so many seconds; latencies of single calls in milliseconds."""

    transactions: float
    seconds: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Transactions per second."""
        return self.transactions / self.seconds
