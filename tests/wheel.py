"""`make wheel`: build the wheels and use them, in empty environments, outside the repository.

One line per step; the first that fails says what it saw and ends the run with status 1.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import zipfile
from pathlib import Path

from tests.support.environments import ROOT, Failed, built, installed, request, run, serving, until
from tests.wheel_plugins import use_plugins

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
    use_plugins(dtm.parent, folder / "plugins")


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


def alone(client: Path, folder: Path) -> None:
    """The client needs nothing of the coordinator, and tells its users their types."""
    commands = installed(folder, client, "mypy")
    (folder / "user.py").write_text(USER)
    run([str(commands / "python"), str(folder / "user.py")], folder)
    run([str(commands / "mypy"), "--strict", str(folder / "user.py")], folder)


def serve(dtm: Path, folder: Path) -> None:
    """A coordinator takes one saga without calls to its end, and stops when told to."""
    with serving(dtm, folder) as (process, url):
        request(f"{url}/api/dtmsvr/submit", SAGA)
        query = f"{url}/api/dtmsvr/query?gid=w"
        until(lambda: request(query)["transaction"]["status"] == "succeed", "the saga succeeds")
        process.send_signal(signal.SIGTERM)
        status = process.wait(30)
        if status != 0:
            raise Failed(f"dtm serve ended with status {status}\n{(folder / 'log').read_text()}")


if __name__ == "__main__":
    sys.exit(main())
