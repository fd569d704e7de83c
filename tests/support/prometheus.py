"""A real Prometheus that scrapes coordinators once a second."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.support.ports import free_port


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    return subprocess.run([_binary("promtool"), *arguments], capture_output=True, text=True, timeout=60, check=False)


def _binary(name: str) -> str:
    found = shutil.which(name, path="/usr/bin:/usr/local/bin:/usr/sbin")
    assert found, f"{name} is missing: tests/support/needs.sh installs it"
    return found


class Prometheus:
    """One process in a folder of its own; `job="dtm"` are the targets (HOST:PORT)."""

    def __init__(self, folder: Path, rules: Path, *targets: str) -> None:
        self._folder = folder
        self._address = f"127.0.0.1:{free_port()}"
        self._log = folder / "prometheus.log"
        job = {"job_name": "dtm", "metrics_path": "/api/metrics", "static_configs": [{"targets": list(targets)}]}
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [job],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))

    def __enter__(self) -> Prometheus:
        options = [f"--web.listen-address={self._address}", f"--storage.tsdb.path={self._folder}/tsdb"]
        command = [_binary("prometheus"), f"--config.file={self._folder}/prometheus.yml", *options]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while True:
            try:
                urlopen(f"http://{self._address}/-/ready", timeout=5).close()
                return self
            except URLError:
                assert self._process.poll() is None, self._log.read_text()[-2000:]
                assert time.monotonic() < deadline, self._log.read_text()[-2000:]
                time.sleep(0.1)

    def __exit__(self, *exc: Any) -> None:
        self._process.terminate()
        self._process.wait(30)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression yields now; an error of Prometheus fails the test."""
        return self.get("query", query=expression)["result"]

    def get(self, path: str, **query: str) -> Any:
        """The data of one API call."""
        with urlopen(f"http://{self._address}/api/v1/{path}?{urlencode(query)}", timeout=30) as reply:
            answer = json.load(reply)
        assert answer["status"] == "success", answer
        return answer["data"]
