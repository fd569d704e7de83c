"""`make wheel`: build the wheels and use them, in empty environments, outside the repository.

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
CLIENT = ROOT / "packaging" / "dtm-client"
USER = """
from dtm.client import Client, Unreachable

saga = Client("http://127.0.0.1:1", tries=1).saga(wait_result=True).step("http://127.0.0.1:1/", "", {"amount": 30})
try:
    gid: str = saga.submit()
except Unreachable as error:
    print(error)
"""
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
    print("ok      the wheels work")
    return 0


def use(folder: Path) -> None:
    client, wheel = built(CLIENT, folder / "client"), built(ROOT, folder / "coordinator")
    for each in (client, wheel):
        print(f"ok      built {each.name}, {each.stat().st_size // 1024} kB")
    print(f"ok      they hold {look_into(wheel, client)} files, the schemas and migrations among them")
    alone(client, folder / "alone")
    print("ok      the client by itself, in an empty environment")
    dtm = installed(folder / "venv", client, wheel) / "dtm"
    print("ok      both installed in another one")
    empty = folder / "empty"
    empty.mkdir()
    run([str(dtm), "demo", "saga"], empty)
    print("ok      dtm demo saga")
    serve(dtm, empty)
    print("ok      dtm serve: ready, one saga, SIGTERM, exit status 0")


def built(project: Path, dist: Path) -> Path:
    run([sys.executable, "-m", "build", "--wheel", "--outdir", str(dist), str(project)], ROOT)
    (wheel,) = dist.glob("*.whl")
    return wheel


def look_into(coordinator: Path, client: Path) -> int:
    """How many files there are; Failed unless each wheel holds its part of the repository, whole, and nothing else."""
    code = {str(path.relative_to(ROOT)) for path in (ROOT / "dtm").rglob("*") if path.is_file()}
    code = {name for name in code if "__pycache__" not in name}
    mine = {name for name in code if name.startswith("dtm/client/")}
    schemas = {f"dtm/schemas/{path.name}" for path in (ROOT / "schemas").glob("*.json")}
    for wheel, wanted in ((client, mine), (coordinator, code - mine | schemas)):
        with zipfile.ZipFile(wheel) as archive:
            inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        if wanted != inside:
            raise Failed(f"missing: {sorted(wanted - inside)}; too much: {sorted(inside - wanted)}")
    if not {"dtm/schemas/common.json", "dtm/core/store/migrations/sqlite/0001_transactions.sql"} <= code | schemas:
        raise Failed("no schemas or no migrations")
    return len(code | schemas)


def installed(folder: Path, *what: Path | str) -> Path:
    """The commands of a new environment that holds these, and what they depend on."""
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, *map(str, what)], folder)
    where = run([str(folder / "bin" / "python"), "-c", "import dtm.client; print(dtm.client.__file__)"], folder)
    if not where.startswith(str(folder)):
        raise Failed(f"dtm is imported from {where}")
    return folder / "bin"


def alone(client: Path, folder: Path) -> None:
    """The client needs nothing of the coordinator, and tells its users their types."""
    commands = installed(folder, client, "mypy")
    (folder / "user.py").write_text(USER)
    run([str(commands / "python"), str(folder / "user.py")], folder)
    run([str(commands / "mypy"), "--strict", str(folder / "user.py")], folder)


def serve(dtm: Path, folder: Path) -> None:
    """A coordinator takes one saga without calls to its end, and stops when told to."""
    command, log = [str(dtm), "serve", "--port", "0"], folder / "log"
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
