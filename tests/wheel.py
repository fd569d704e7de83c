"""`make wheel`: build the wheel and use it, in an empty environment, outside the repository.

One line per step; the first that fails says what it saw and ends the run with status 1.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SAGA = {"gid": "w", "trans_type": "saga", "steps": [{"action": "", "compensate": ""}], "payloads": [""]}


class Failed(Exception):
    """A step did not do what it has to."""


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="dtm-wheel-") as folder:
        try:
            use(Path(folder))
        except Failed as failure:
            print(f"FAILED  {failure}")
            return 1
    print("ok      the wheel works")
    return 0


def use(folder: Path) -> None:
    wheel = built(folder / "dist")
    print(f"ok      built {wheel.name}, {wheel.stat().st_size // 1024} kB")
    print(f"ok      it holds {look_into(wheel)} files, the schemas and migrations among them")
    dtm = installed(wheel, folder / "venv")
    print("ok      installed in an empty environment")
    empty = folder / "empty"
    empty.mkdir()
    run([dtm, "demo", "saga"], empty)
    print("ok      dtm demo saga")
    serve(dtm, empty)
    print("ok      dtm serve: ready, one saga, SIGTERM, exit status 0")


def built(dist: Path) -> Path:
    run([sys.executable, "-m", "build", "--wheel", "--outdir", str(dist), str(ROOT)], ROOT)
    (wheel,) = dist.glob("*.whl")
    return wheel


def look_into(wheel: Path) -> int:
    """How many files there are; Failed unless all that the repository has for the wheel is in it, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    code = {str(path.relative_to(ROOT)) for path in (ROOT / "dtm").rglob("*") if path.is_file()}
    wanted = {name for name in code if "__pycache__" not in name}
    wanted |= {f"dtm/schemas/{path.name}" for path in (ROOT / "schemas").glob("*.json")}
    if wanted != inside:
        raise Failed(f"missing: {sorted(wanted - inside)}; too much: {sorted(inside - wanted)}")
    if not {"dtm/schemas/common.json", "dtm/core/store/migrations/sqlite/0001_transactions.sql"} <= inside:
        raise Failed("no schemas or no migrations")
    return len(inside)


def installed(wheel: Path, folder: Path) -> str:
    """The `dtm` command of a new environment that holds the wheel and what it depends on."""
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, str(wheel)], folder)
    where = run([str(folder / "bin" / "python"), "-c", "import dtm; print(dtm.__file__)"], folder)
    if not where.startswith(str(folder)):
        raise Failed(f"dtm is imported from {where}")
    return str(folder / "bin" / "dtm")


def serve(dtm: str, folder: Path) -> None:
    """A coordinator takes one saga without calls to its end, and stops when told to."""
    command, log = [dtm, "serve", "--port", "0"], folder / "log"
    with (
        log.open("wb") as stderr,
        subprocess.Popen(command, cwd=folder, env=clean(), stdout=subprocess.PIPE, stderr=stderr) as process,
    ):
        try:
            line = process.stdout.readline().decode()
            ready = re.fullmatch(r"dtm \S+ ready on (http://\S+)\n", line)
            if ready is None:
                raise Failed(f"no ready line, but {line!r}\n{log.read_text()}")
            api = f"{ready[1]}/api/dtmsvr"
            request(f"{api}/submit", SAGA)
            until_succeeded(f"{api}/query?gid=w")
            process.send_signal(signal.SIGTERM)
            status = process.wait(30)
            if status != 0:
                raise Failed(f"dtm serve ended with status {status}\n{log.read_text()}")
        finally:
            process.kill()


def until_succeeded(url: str) -> None:
    deadline = time.monotonic() + 20
    while (status := request(url)["transaction"]["status"]) != "succeed":
        if time.monotonic() > deadline:
            raise Failed(f"the saga is {status}")
        time.sleep(0.05)


def request(url: str, body: object = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, data, timeout=20) as reply:
        return json.loads(reply.read())


def run(command: list[str], folder: Path) -> str:
    """What the command printed; Failed with it all when its status is not 0."""
    done = subprocess.run(
        command, check=False, cwd=folder, env=clean(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    text = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: status {done.returncode}\n{text}")
    return text


def clean() -> dict[str, str]:
    """This environment, without what could lead Python back to the repository or change settings."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("DTM_", "PYTHON", "COVERAGE", "VIRTUAL_ENV"))}


if __name__ == "__main__":
    sys.exit(main())
