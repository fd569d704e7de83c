"""What a client may get wrong, over real HTTP: each is refused with its status and its place, and leaves no trace."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
from pathlib import Path
from typing import Any

from tests.support.inside import Inside
from tests.support.participants import Participants

P = '{"amount":30}'
HUGE = 2**31


def saga(participants: Participants, **changes: Any) -> dict:
    steps = [{"action": participants.url(name), "compensate": participants.url(f"{name}-undo")} for name in "ab"]
    return {"gid": "g", "trans_type": "saga", "steps": steps, "payloads": [P, P], **changes}


def msg(participants: Participants, **changes: Any) -> dict:
    query = participants.url("query")
    steps = [{"action": participants.url("a")}]
    return {"gid": "g", "trans_type": "msg", "steps": steps, "payloads": [P], "query_prepared": query, **changes}


def branch(**changes: Any) -> dict:
    return {"gid": "g", "trans_type": "tcc", "branch_id": "01", "confirm": "", "cancel": "", "data": P, **changes}


async def refusals(inside: Inside, cases: list[tuple[str, Any, int, str | None]]) -> list[Any]:
    """POST each (verb, body, status, pointer of the first error); what came out otherwise."""
    wrong = []
    for verb, body, status, pointer in cases:
        got, said = await inside.post(verb, body)
        place = said["errors"][0]["pointer"] if "errors" in said else None
        words = json.dumps(said)
        if (got, place) != (status, pointer) or "SUCCESS" in words or not said["message"]:
            wrong.append((verb, str(body)[:200], got, said))
    return wrong


async def no_trace(inside: Inside, folder: Path, participants: Participants) -> None:
    """Nothing is stored, nobody was called, and the process lives and serves."""
    await inside.idle()
    assert await inside.get("all") == (200, {"next_position": "", "transactions": []})
    with sqlite3.connect(folder / "dtm.db") as db:
        assert db.execute("SELECT count(*) FROM dtm_transaction").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM dtm_kv").fetchone() == (0,)
    db.close()
    assert participants.calls == []
    assert (await inside.post("submit", saga(participants, gid="after", wait_result=True)))[0] == 200
    assert participants.of("after") == ["action 01 POST a", "action 02 POST b"]


async def test_malformed_bodies(inside: Inside, participants: Participants, tmp_path: Path) -> None:
    whole = json.dumps(saga(participants)).encode()
    bodies = [
        b"", b"null", b"[]", b"5", b'"x"', b"hello", b"gid=g&trans_type=saga", b"{", whole[:-1], whole + b"}",
        whole + whole, whole.replace(b'"', b"'"), b"\xef\xbb\xbf" + whole, whole.decode().encode("utf-16"),
        whole.replace(b'"g"', b'"\xff"'), whole.replace(b'"g"', b'"\\ud800"'), whole.replace(b'"g"', b'"a\x00b"'),
        b'{"a":' * 200 + whole + b"}" * 200, whole.replace(b'"g"', b'"g","timeout_to_fail":1e999'),
        whole.replace(b'"g"', b'"g","timeout_to_fail":NaN'),
    ]  # fmt: skip
    cases = [(verb, body, 400, "") for body in bodies for verb in ("submit", "prepare", "abort", "registerBranch")]
    assert await refusals(inside, cases) == []
    await no_trace(inside, tmp_path, participants)


async def test_wrong_values(inside: Inside, participants: Participants, tmp_path: Path) -> None:
    values: list[tuple[str, Any, str]] = [
        *(("gid", value, "/gid") for value in (None, "", 1, True, [], {}, "x" * 129, "日" * 129)),
        *(("gid", f"a{char}b", "/gid") for char in "\x00\n\r\t\x1f\x7f\x85\x9f"),
        *(("trans_type", value, "/trans_type") for value in (None, "", 1, "x" * 46, "SAGA", "Saga", "saga ", "abc")),
        ("trans_type", "workflow", "/trans_type"),
        *(("protocol", value, "/protocol") for value in ("json-rpc", "grpc", "HTTP", 1)),
        *(("steps", value, "/steps") for value in ("x", 1, {}, True)),
        ("steps", [1], "/steps/0"),
        ("steps", [{"action": 1}], "/steps/0/action"),
        ("steps", [{}, {"compensate": ["http://a.example/"]}], "/steps/1/compensate"),
        ("steps", [{"data": {}}], "/steps/0/data"),
        ("steps", [{}] * 10_001, "/steps"),
        *(("payloads", value, "/payloads") for value in ("x", {}, [P], [], None)),
        ("payloads", [P, 1], "/payloads/1"),
        ("payloads", [{"amount": 30}, P], "/payloads/0"),
        *(("custom_data", value, "/custom_data") for value in (1, {}, "x", "[]", "5", '"x"', "{", "true", '{"a":1}}')),
        *(("wait_result", value, "/wait_result") for value in ("true", 1, 0, [])),
        *(("concurrent", value, "/concurrent") for value in ("true", 1)),
        *(
            (key, value, f"/{key}")
            for key in ("timeout_to_fail", "request_timeout", "retry_interval", "retry_limit", "retry_count")
            for value in (-1, HUGE, 10**30, 1.5, "3", True, False, [])
        ),
        ("query_prepared", 1, "/query_prepared"),
        ("rollback_reason", 1, "/rollback_reason"),
    ]
    cases = [("submit", saga(participants, **{key: value}), 400, pointer) for key, value, pointer in values]
    assert await refusals(inside, cases) == []
    await no_trace(inside, tmp_path, participants)


async def test_orders_that_cannot_be(inside: Inside, participants: Participants, tmp_path: Path) -> None:
    anyhow = [
        "[]", "[0]", "5", '"x"', "true", '{"2":[0]}', '{"-1":[0]}', '{"x":[0]}', '{"01":[0]}', '{"":[0]}',
        '{"1":[2]}', '{"1":[-1]}', '{"1":["0"]}', '{"1":[true]}', '{"1":[0.0]}', '{"1":0}', '{"1":{}}', '{"0":[0]}',
        '{"0":[1],"1":[0]}', '{"1":[99999999999999999999]}',
    ]  # fmt: skip
    customs = [f'{{"orders":{orders},"concurrent":{mode}}}' for orders in anyhow for mode in ("true", "false")]
    customs += ['{"orders":{"0":[1]}}', '{"concurrent":1}', '{"concurrent":"true"}']
    cases = [("submit", saga(participants, custom_data=text), 400, "/custom_data") for text in customs]
    assert await refusals(inside, cases) == []
    await no_trace(inside, tmp_path, participants)


BAD_URLS = [
    "a.example", "/path", "//a.example/x", "ftp://a.example/x", "file:///etc/passwd", "javascript:alert(1)", "http:",
    "http://", "http:///x", "http://?x", "http://:80/x", "http://user:pw@a.example/x", "http://user@a.example/x",
    "http://a.example:0/x", "http://a.example:65536/x", "http://a.example:x/", "http://a.example:/x", "http://[::1/x",
    "http://[::1%25lo]/x", "http://::1/x", "http://a b.example/x", "http://a.example/a b", "http://a.example/\nx",
    "http://a.example/\x00", "http://a.example/\x85", " http://a.example/", "http://a.example/ ", "http://é.example/",
    "http://a..example/", "http://a.example\\@b.example/", "topic://orders", "http://a.example/" + "x" * 2048,
]  # fmt: skip


async def test_bad_urls(inside: Inside, participants: Participants, tmp_path: Path) -> None:
    def steps(url: str, op: str) -> list[dict]:
        return [{"action": participants.url("a")}, {op: url}]

    cases = [
        ("submit", saga(participants, steps=steps(url, op)), 400, f"/steps/1/{op}")
        for url in BAD_URLS
        for op in ("action", "compensate")
    ]
    not_topics = [url for url in BAD_URLS if not url.startswith("topic://")]
    cases += [("submit", msg(participants, steps=[{"action": url}]), 400, "/steps/0/action") for url in not_topics]
    cases += [("prepare", msg(participants, query_prepared=url), 400, "/query_prepared") for url in BAD_URLS]
    cases += [("registerBranch", branch(cancel=url), 400, "/cancel") for url in BAD_URLS]
    assert await refusals(inside, cases) == []
    for url in BAD_URLS:
        status, said = await inside.post("subscribe", topic="t", url=url)
        assert (status, said["errors"][0]["pointer"]) == (400, "/url"), url
    await no_trace(inside, tmp_path, participants)


async def test_headers_that_would_speak_for_us(inside: Inside, participants: Participants, tmp_path: Path) -> None:
    headers: list[tuple[Any, str]] = [
        ("x", "/branch_headers"),
        (1, "/branch_headers"),
        (["x"], "/branch_headers"),
        ({f"x-{n}": "" for n in range(101)}, "/branch_headers"),
        *(({"X": value}, "/branch_headers/X") for value in (1, True, {}, [], "a\r\nInjected: b", "a\nb", "a\x00b")),
        *(({"X": value}, "/branch_headers/X") for value in ("a\x7fb", "a\x85b", "x" * 8193)),
        *(({name: "x"}, f"/branch_headers/{name}") for name in ("", "a b", "a:b", "a\r\nb", "é", "x" * 257)),
        ({"a/b": "x"}, "/branch_headers/a~1b"),
        *(({name: "1"}, f"/branch_headers/{name}") for name in ("Host", "content-length", "Transfer-Encoding")),
        *(({name: "x"}, f"/branch_headers/{name}") for name in ("Connection", "Expect", "Upgrade", "TE", "trailer")),
    ]
    cases = [("submit", saga(participants, branch_headers=given), 400, pointer) for given, pointer in headers]
    assert await refusals(inside, cases) == []
    await no_trace(inside, tmp_path, participants)


async def test_verbs_that_do_not_fit(inside: Inside, participants: Participants, tmp_path: Path) -> None:
    topic = [{"action": "topic://nope"}]
    cases: list[tuple[str, Any, int, str | None]] = [
        ("prepare", saga(participants), 400, "/trans_type"),
        ("prepare", msg(participants, query_prepared=""), 400, "/query_prepared"),
        ("prepare", msg(participants, query_prepared=None), 400, "/query_prepared"),
        ("prepare", msg(participants, steps=topic), 400, "/steps/0/action"),
        ("submit", msg(participants, steps=topic), 400, "/steps/0/action"),
        ("submit", msg(participants, payloads=[]), 400, "/payloads"),
        *(
            ("submit", msg(participants, custom_data=f'{{"delay":{delay}}}'), 400, "/custom_data")
            for delay in ("-1", "true", '"5"', "1.5", "[]", "{}", "2147483648")
        ),
        *(("registerBranch", branch(trans_type=kind), 400, "/trans_type") for kind in ("saga", "msg", "abc", 1, None)),
        ("registerSagaBranch", branch(trans_type=None), 400, "/trans_type"),
        *(("registerBranch", branch(gid=gid), 400, "/gid") for gid in (None, "", 1, "x" * 129, "a\nb")),
        *(("registerBranch", branch(branch_id=one), 400, "/branch_id") for one in (None, "", 1, "x" * 129, "a\x00")),
        *(("registerBranch", branch(**{key: {}}), 400, f"/{key}") for key in ("data", "confirm", "cancel")),
        ("registerBranch", branch(trans_type="xa", url=5), 400, "/url"),
        ("registerBranch", branch(), 409, None),
        *((verb, {}, 400, "/gid") for verb in ("abort", "forceStop", "resetNextCronTime")),
        *((verb, {"gid": 1}, 400, "/gid") for verb in ("abort", "forceStop", "resetNextCronTime")),
        *((verb, {"gid": "unknown"}, 404, None) for verb in ("abort", "forceStop", "resetNextCronTime")),
        ("abort", {"gid": "g", "rollback_reason": 1}, 400, "/rollback_reason"),
        ("abort", {"gid": "g", "trans_type": 1}, 400, "/trans_type"),
    ]
    assert await refusals(inside, cases) == []
    await no_trace(inside, tmp_path, participants)


async def test_bad_questions(inside: Inside, participants: Participants, tmp_path: Path) -> None:
    cases: list[tuple[str, str, int, str | None]] = [
        ("GET", "query", 400, "/gid"),
        ("GET", "query?gid=", 400, "/gid"),
        ("GET", "query?gid=%ff", 400, "/gid"),
        *(("GET", f"all?limit={value}", 400, "/limit") for value in ("ten", "1.5", "1e3", "%20", "9" * 30)),
        *(("GET", f"all?position={value}", 400, "") for value in ("x", "-1", "%00", "AAAA", "9" * 99)),
        *(("GET", f"all?status={value}", 400, "/status") for value in ("done", "SUCCEED", "%00")),
        *(("GET", f"all?createTimeStart={value}", 400, "/createTimeStart") for value in ("x", "2026-11-22", "9" * 19)),
        ("GET", "scanKV?position=x", 400, ""),
        ("POST", "resetCronTime?timeout=-1", 400, "/timeout"),
        ("POST", "resetCronTime?timeout=x", 400, "/timeout"),
        ("POST", "resetCronTime?limit=x", 400, "/limit"),
        ("POST", "subscribe", 400, "/topic"),
        ("POST", "subscribe?topic=t", 400, "/url"),
        ("POST", f"subscribe?topic={'t' * 129}&url=http://a.example/", 400, "/topic"),
        ("POST", "subscribe?topic=a%0Ab&url=http://a.example/", 400, "/topic"),
        ("POST", "unsubscribe?topic=t&url=http://a.example/", 404, None),
        ("DELETE", "topic/t", 404, None),
        ("GET", "submit", 405, None),
        ("PUT", "submit", 405, None),
        ("POST", "query?gid=g", 405, None),
        ("POST", "prepareWorkflow", 404, None),
        ("POST", "../dtmsvr/submit", 404, None),
        ("POST", "submit%00", 404, None),
    ]
    wrong = []
    for method, path, status, pointer in cases:
        got, said = await asyncio.to_thread(inside.client.request, method, f"/api/dtmsvr/{path}")
        place = said["errors"][0]["pointer"] if "errors" in said else None
        if (got, place) != (status, pointer):
            wrong.append((method, path, got, said))
    assert wrong == []
    await no_trace(inside, tmp_path, participants)


def raw(port: int, *parts: bytes) -> bytes:
    """Send bytes as they are, and whatever comes back until the server hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        got = b""
        try:
            for part in parts:
                connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                got += chunk
        except ConnectionError:
            pass  # it hung up while we were still sending
        return got


async def test_bad_http(inside: Inside, participants: Participants, tmp_path: Path) -> None:
    """What is no proper request is refused or cut off, and never taken for the request that hides in it."""
    body = json.dumps(saga(participants)).encode()
    line = b"POST /api/dtmsvr/submit HTTP/1.1\r\nHost: x\r\n"
    length = b"Content-Length: %d\r\n" % len(body)
    large = json.dumps(saga(participants, rollback_reason="x" * (5 << 20))).encode()
    requests = [
        line + b"Content-Length: %d\r\n\r\n" % len(large) + large,
        line + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(large) + large + b"\r\n0\r\n\r\n",
        line + length + b"Transfer-Encoding: chunked\r\n\r\n" + body,
        line + length + b"Content-Length: 5\r\n\r\n" + body,
        line + b"Content-Length: -1\r\n\r\n" + body,
        line + b"Content-Length: 1e3\r\n\r\n" + body,
        line + length + b"Bad Header: x\r\n\r\n" + body,
        line + length + b"X: a\x00b\r\n\r\n" + body,
        line + length + b"X: " + b"x" * 20_000 + b"\r\n\r\n" + body,
        line + b"Content-Length: %d\r\n\r\n" % (len(body) + 1) + body,
        line + b"\r\n" + body,
        b"POST /api/dtmsvr/submit\r\n" + length + b"\r\n" + body,
        b"\x16\x03\x01\x02\x00" + body,
    ]
    for request in requests:
        reply = await asyncio.to_thread(raw, inside.app.port, request)
        assert reply[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 413", b"HTTP/1.1 431"), request[:150]
    await no_trace(inside, tmp_path, participants)


async def test_a_disabled_protocol(io_loop, tmp_path: Path, participants: Participants) -> None:
    inside = Inside(tmp_path, protocols={"saga": False})
    await inside.start()
    try:
        cases = [(verb, saga(participants), 400, "/trans_type") for verb in ("submit", "prepare")]
        assert await refusals(inside, cases) == []
        assert await inside.get("all") == (200, {"next_position": "", "transactions": []})
        assert (await inside.post("submit", msg(participants, wait_result=True)))[0] == 200
    finally:
        await inside.stop()
