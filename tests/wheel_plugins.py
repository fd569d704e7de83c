"""`make wheel`, second part: other people's protocols, installed with pip beside the wheels of dtm."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

from dtm.testing.participants import ERROR, ONGOING, Participants
from tests.support.environments import ROOT, Failed, request, run, serving, until

EXAMPLES = ("quorum", "escalation")
FAST = {"retry_interval": 0.2, "retry_interval_max": 0.5, "poll_interval": 0.2}
CONF = {"protocols": {"quorum": {}, "escalation": {"patience": 5}}, **FAST}


def use_plugins(commands: Path, folder: Path) -> None:
    """Install both examples, and a protocol that `dtm new-protocol` writes; use them."""
    folder.mkdir()
    pip = [str(commands / "python"), "-m", "pip", "install", "--quiet"]
    for name in EXAMPLES:  # a copy: building leaves its traces
        project = shutil.copytree(ROOT / "examples" / "plugins" / f"dtm-{name}", folder / f"dtm-{name}")
        run([*pip, f"{project}[test]"], folder)
        run([str(commands / "pytest"), "-q"], project)
        print(f"ok      dtm-{name}: installed, its own tests pass")
    listed(commands / "dtm", folder)
    print("ok      dtm protocols shows them; what blocks them and names them is refused in one line")
    killed_half_way(commands / "dtm", folder)
    print("ok      two of three suppliers reserved over HTTP; kill -9 half-way; finished after a restart")
    empty = folder / "empty"
    empty.mkdir()
    run([str(commands / "dtm"), "new-protocol", "hello"], empty)
    run([*pip, "-e", ".[test]"], empty / "hello")
    run([str(commands / "pytest"), "-q"], empty / "hello")
    run([str(commands / "dtm"), "conformance", "dtm_hello", "--histories", "100"], empty)
    print("ok      dtm new-protocol hello: installed, its own tests pass, it conforms")


def listed(dtm: Path, folder: Path) -> None:
    """They are known, enabled by the configuration and not without it; who is blocked is not there."""
    conf = folder / "conf.yml"
    for name in EXAMPLES:
        said = run([str(dtm), "protocols"], folder)
        if f"{name} 1  not enabled  dtm-{name} 1.0\n" not in said:
            raise Failed(f"dtm protocols does not list {name} as not enabled\n{said}")
    conf.write_text(json.dumps({**CONF, "plugins": {"block": ["dtm-quorum"]}}))
    said = run([str(dtm), "serve", "-c", "conf.yml"], folder, status=2)
    if said != "dtm: protocols.quorum: no plugin provides this protocol\n":
        raise Failed(f"a configuration that names what it blocks: {said}")
    conf.write_text(json.dumps(CONF))
    said = run([str(dtm), "check", "-c", "conf.yml"], folder)
    if said != "ok: store sqlite, protocols escalation, msg, quorum, saga, tcc, xa\n":
        raise Failed(f"dtm check says {said}")


def killed_half_way(dtm: Path, folder: Path) -> None:
    """Three suppliers of which two are needed; one is slow, one is down; the coordinator dies in between."""
    if shutil.which("curl") is None:
        raise Failed("curl is missing: apt-get install curl")
    with Participants() as suppliers:
        suppliers.answer("b", *[ONGOING] * 5)
        suppliers.answer("c", *[ERROR] * 1000)
        urls = [{"reserve": suppliers.url(name), "release": suppliers.url(f"{name}/undo")} for name in "abc"]
        body = json.dumps({"gid": "q", "trans_type": "quorum", "suppliers": urls, "need": 2})
        with serving(dtm, folder, "-c", "conf.yml") as (process, url):
            said = run(["curl", "-s", f"{url}/api/dtmsvr/submit", "-d", body], folder)
            if said != '{"dtm_result":"SUCCESS"}':
                raise Failed(f"the submit was answered {said}")
            until(lambda: {call.branch_id for call in suppliers.seen("q")} == {"01", "02", "03"}, "all are asked")
            process.send_signal(signal.SIGKILL)
            process.wait(30)
            before = len(suppliers.calls)
        with serving(dtm, folder, "-c", "conf.yml") as (_, url):
            query = f"{url}/api/dtmsvr/query?gid=q"
            until(lambda: request(query)["transaction"]["status"] == "succeed", "two have reserved")
            result = request(query)["transaction"]["result"]
        released = {call.path for call in suppliers.seen("q") if call.op == "release"}
        if (result, released) != ("01 02", {"c/undo"}) or len(suppliers.calls) <= before:
            raise Failed(f"{result} are kept\n{suppliers.of('q')}")
