"""`dtm show` against a running coordinator; what it says when there is nothing to show."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import Ran
from tests.support.coordinator import FAST, Coordinator
from tests.support.participants import OK, ONGOING, Participants, failure

ATTEMPT = re.compile(
    r"^ *(?:\+\d+\.\d{3} s)? +(\S+) +(\S+) +([A-Z]+|next try|running now|unknown|\.\.\. \d+ more) ", re.MULTILINE
)


def saga(participants: Participants, gid: str, **more: object) -> dict[str, object]:
    steps = [{"action": participants.url(name), "compensate": participants.url(f"{name}Revert")} for name in ("A", "B")]
    return {"gid": gid, "trans_type": "saga", "steps": steps, "payloads": ["{}", "{}"], **more}


def test_a_finished_saga(coordinator: Coordinator, participants: Participants, dtm: Callable[..., Ran]) -> None:
    participants.answer("A", ONGOING, (500, "\x1b[2J[red]oh[/red]\r\n"))
    participants.answer("B", failure("no"))
    coordinator.client.post("submit", saga(participants, "g"))
    coordinator.client.until_final("g")
    ran = dtm("show", "g", "--server", coordinator.url + "/")
    assert (ran.status, ran.err) == (0, "")
    head = dict(re.findall(r"^(\w+) {2,}(\S.*)$", ran.out.partition("\n\n")[0], re.MULTILINE))
    assert (head["gid"], head["type"], head["status"]) == ("g", "saga", "failed")
    assert head["reason"].startswith(f"url:{participants.url('B')} return failed: ")
    assert re.fullmatch(r"\d+ ms", head["took"])
    assert ATTEMPT.findall(ran.out) == [
        ("01", "action", "ONGOING"),
        ("01", "action", "ERROR"),
        ("01", "action", "SUCCESS"),
        ("02", "action", "FAILURE"),
        ("02", "compensate", "SUCCESS"),
        ("01", "compensate", "SUCCESS"),
    ]
    assert "\x1b" not in ran.out
    assert "\\x1b[2J[red]oh[/red]" in ran.out


def test_one_that_is_under_way(coordinator: Coordinator, participants: Participants, dtm: Callable[..., Ran]) -> None:
    participants.answer("A", *[ONGOING] * 3)
    coordinator.client.post("submit", saga(participants, "g", retry_interval=3600))
    while len(coordinator.client.query("g")["branches"][1]["attempts"]) < 1:
        continue
    out = dtm("show", "g", DTM_SERVER=coordinator.url).out
    assert ATTEMPT.findall(out) == [("01", "action", "ONGOING"), ("01", "action", "next try")]
    assert "\nnot called yet: 01 compensate, 02 compensate, 02 action\n" in out
    assert "\ntook" not in out


def test_the_question_of_a_message_is_shown_too(
    coordinator: Coordinator, participants: Participants, dtm: Callable[..., Ran]
) -> None:
    body = {"trans_type": "msg", "steps": [{"action": participants.url("A")}], "payloads": ["{}"]}
    participants.answer("Query", (500, "down"), OK)
    query = {"query_prepared": participants.url("Query"), "timeout_to_fail": 1, "gid": "m"}
    coordinator.client.post("prepare", {**body, **query})
    coordinator.client.until_final("m")
    found = ATTEMPT.findall(dtm("show", "m", "--server", coordinator.url).out)
    assert found == [("00", "msg", "ERROR"), ("00", "msg", "SUCCESS"), ("01", "action", "SUCCESS")]


def test_what_a_kill_cut_off_is_shown_too(
    coordinator: Coordinator, participants: Participants, dtm: Callable[..., Ran]
) -> None:
    participants.delay("B", 60)
    coordinator.client.post("submit", saga(participants, "g", request_timeout=120))
    while "start_time" not in (action := coordinator.client.query("g")["branches"][3]):
        continue  # until it is recorded that B has begun
    assert (action["branch_id"], action["op"], action["start_count"]) == ("02", "action", 1)
    shown = [("01", "action", "SUCCESS"), ("02", "action", "running now")]
    assert ATTEMPT.findall(dtm("show", "g", "--server", coordinator.url).out) == shown
    coordinator.kill()
    participants.delay("B", 0)
    coordinator.start()
    coordinator.client.until_final("g")
    out = dtm("show", "g", "--server", coordinator.url).out
    shown[1:] = [("02", "action", "unknown"), ("02", "action", "SUCCESS")]
    assert ATTEMPT.findall(out) == shown
    assert "begun, and not heard how it ended" in " ".join(out.split())
    assert "perhaps" not in out


def refusal(ran: Ran) -> str:
    """The one line on stderr; nothing on stdout, exit status 1."""
    assert (ran.status, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err.startswith("dtm: ")
    return ran.err.removeprefix("dtm: ").strip()


def test_an_unknown_gid(coordinator: Coordinator, dtm: Callable[..., Ran]) -> None:
    assert refusal(dtm("show", "g\n", "--server", coordinator.url)) == rf"{coordinator.url} knows no transaction 'g\n'"
    assert "no gid" in refusal(dtm("show", "", "--server", coordinator.url))


def test_a_token_that_is_wanted(tmp_path: Path, dtm: Callable[..., Ran]) -> None:
    with Coordinator(tmp_path, DTM_AUTH='{"tokens": [{"token": "a-secret-of-some-length"}]}', **FAST) as coordinator:
        said = refusal(dtm("show", "g", "--server", coordinator.url))
        assert said == f"{coordinator.url} refuses: a known bearer token is needed (give it by --token or DTM_TOKEN)"
        assert said == refusal(dtm("show", "g", "--server", coordinator.url, "--token", "wrong"))
        known = dtm("show", "g", "--server", coordinator.url, DTM_TOKEN="a-secret-of-some-length")
        assert "knows no transaction" in refusal(known)


@pytest.mark.parametrize(
    "server", ["127.0.0.1:36789", "http://", "ftp://127.0.0.1", "http://127.0.0.1:x", "http://[::"]
)
def test_a_server_that_is_no_url(dtm: Callable[..., Ran], server: str) -> None:
    assert refusal(dtm("show", "g", "--server", server)).startswith("--server: expected http://HOST:PORT, got ")


def test_nobody_answers(dtm: Callable[..., Ran]) -> None:
    said = refusal(dtm("show", "g", "--server", "http://127.0.0.1:1"))
    assert said.startswith("no coordinator answers at http://127.0.0.1:1: ")


def test_somebody_else_answers(dtm: Callable[..., Ran]) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        said = refusal(dtm("show", "g", "--server", f"http://127.0.0.1:{server.server_port}"))
        server.shutdown()
        thread.join()
    assert said.endswith(" is no coordinator (status 200, no JSON)")


class _Page(http.server.BaseHTTPRequestHandler):
    """A web page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>")

    def log_message(self, *args: object) -> None:
        """Nothing to say."""
