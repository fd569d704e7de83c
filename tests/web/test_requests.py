"""What a request may look like: bodies, query parameters, paths, methods, tokens."""

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtm.core.config import Compat, Settings, Token
from dtm.core.web.routes import ROUTES

GOOD = [
    (b"{}", {}),
    (b' \r\n\t{"a" : [1, 2.5, null, true, "x"]}\n', {"a": [1, 2.5, None, True, "x"]}),
    (b'{"a":1,"subType":"x","subType":"y"}', {"a": 1, "subType": "y"}),
    ('{"é":"日本"}'.encode(), {"é": "日本"}),
    (b'{"a":"\\ud83d\\ude00 \\u0000"}', {"a": "😀 \x00"}),
    (b'{"a":' * 99 + b"{}" + b"}" * 99, None),
    (b'{"a":' + b"[" * 99 + b"]" * 99 + b"}", None),
    (b'{"a":[' + b",".join([b"{}"] * 500) + b"]}", {"a": [{}] * 500}),
    (b'{"a":"' + b"[" * 500 + b'"}', {"a": "[" * 500}),
    (b'{"a":"' + b"x" * (4 * 1024 * 1024 - 8) + b'"}', None),
]

BAD = [
    b"", b" ", b"\x00", b"null", b"true", b"1", b'"x"', b"[]", b'[{"gid":"g"}]', b"x", b"hello", b"{", b"}", b"{}}",
    b"{}{}", b"{},", b"{a:1}", b"{'a':1}", b'{"a"}', b'{"a":}', b'{"a":1,}', b'{,"a":1}', b'{"a" 1}', b'{"a":1 "b":2}',
    b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}', b'{"a":nan}', b'{"a":1e999}', b'{"a":01}', b'{"a":+1}',
    b'{"a":1.}', b'{"a":.5}', b'{"a":0x1}', b'{"a":1_0}', b'{"a":tru}', b'{"a":True}', b'{"a":undefined}',
    b'{"a":"x}', b'{"a":"\n"}', b'{"a":"\t"}', b'{"a":"\x00"}', b'{"a":"\\x"}', b'{"a":"\\u12"}', b'{"a":"\\ud800"}',
    b'{"a":"\\udc00x"}', b'{"\\ud800":1}', b'{"a":"\xff"}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\xc0\xaf"}',
    b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b"/* c */{}", b"{}//", b"gid=g&trans_type=saga", b"<a/>",
    b'{"a":' * 100 + b"{}" + b"}" * 100, b'{"a":' * 2000 + b"1" + b"}" * 2000, b"[" * 1_000_000, b'{"a":' * 200_000,
    b"[" * 500_000 + b"]" * 500_000, b'{"a":' + b"[" * 100 + b"]" * 100 + b"}",
]  # fmt: skip


@pytest.mark.gen_test
async def test_good_bodies(running):
    async with running() as server:
        for body, value in GOOD:
            status, _, reply = await server.ask("POST", "/echo", body)
            assert status == 200, body[:80]
            assert value is None or json.loads(reply) == {"body": value}


@pytest.mark.gen_test(timeout=30)
async def test_bad_bodies(running, caplog):
    async with running() as server:
        for body in BAD:
            status, _, reply = await server.ask("POST", "/echo", body)
            assert status == 400, body[:80]
            said = json.loads(reply)
            assert said["errors"] == [{"pointer": "", "message": said["message"]}]
            assert b"SUCCESS" not in reply
    assert not caplog.records


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "headers",
    [
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Encoding: gzip\r\n",
        "Content-Type: multipart/form-data\r\n",
        "Content-Type: multipart/form-data; boundary=x\r\n",
        "Content-Type: a\r\nContent-Type: b\r\n",
        "Content-Type:\r\n",
    ],
)
async def test_nobody_looks_at_the_content_type(running, headers):
    body = {"a": "&" * 5000}
    async with running() as server:
        status, _, reply = await server.ask("POST", "/echo", json.dumps(body).encode(), headers)
        assert (status, json.loads(reply)) == (200, {"body": body})


JSONISH = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
).map(lambda value: json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass"))
CUT = st.tuples(JSONISH, st.integers(0, 20), st.binary(max_size=2)).map(lambda t: t[0][: t[1]] + t[2] + t[0][t[1] :])


@settings(max_examples=150)
@given(st.binary() | JSONISH | CUT)
def test_any_bytes_are_an_object_or_a_400(running, body):
    async def post():
        async with running() as server:
            return await server.ask("POST", "/echo", body)

    status, _, reply = asyncio.run(post())
    assert status in (200, 400)
    if status == 200:
        assert isinstance(json.loads(body), dict)
    else:
        assert json.loads(reply)["errors"]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("", 200, {"gid": "", "start": None, "limit": 100}),
        ("?gid=&start=&limit=", 200, {"gid": "", "start": None, "limit": 100}),
        ("?gid=%20a+b%20&gid=c", 200, {"gid": " a b ", "start": None, "limit": 100}),
        ("?gid=a%01b%0A", 200, {"gid": "a\x01b\n", "start": None, "limit": 100}),
        ("?gid=%E6%97%A5&start=1767225600000&limit=7", 200, {"gid": "日", "start": 1767225600000, "limit": 7}),
        ("?limit=1000&start=-5", 200, {"gid": "", "start": -5, "limit": 1000}),
        ("?limit=1001", 200, {"gid": "", "start": None, "limit": 1000}),
        ("?limit=0", 200, {"gid": "", "start": None, "limit": 1}),
        ("?limit=-3", 200, {"gid": "", "start": None, "limit": 1}),
        ("?limit=ten", 400, "/limit: convert to int error: ten"),
        ("?limit=1_0", 400, "/limit: convert to int error: 1_0"),
        ("?limit=%D9%A3", 400, "/limit: convert to int error: ٣"),
        ("?limit=1.5", 400, "/limit: convert to int error: 1.5"),
        ("?limit=%201", 400, "/limit: convert to int error:  1"),
        ("?limit=" + "9" * 5000, 400, "/limit: convert to int error: " + "9" * 5000),
        ("?start=1e3", 400, "/start: convert to int error: 1e3"),
        ("?gid=%FF", 400, "/gid: gid is not UTF-8"),
    ],
)
async def test_query_parameters(running, query, status, said):
    async with running() as server:
        code, _, reply = await server.ask("GET", "/echo" + query)
        reply = json.loads(reply)
        assert (code, reply if code == 200 else reply["message"]) == (status, said)


API = "/api/dtmsvr"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("method", "path", "status", "location"),
    [
        ("GET", API + "/query/?gid=a%20b&x=%2F", 301, API + "/query?gid=a%20b&x=%2F"),
        ("GET", "/api/ping//", 301, "/api/ping"),
        ("POST", API + "/submit/?wait_result=1", 307, API + "/submit?wait_result=1"),
        ("DELETE", API + "/topic/t%2F/", 307, API + "/topic/t%2F"),
        ("GET", "//evil.example/", 404, None),
        ("GET", "/\\evil.example/", 404, None),
        ("GET", "/api/../evil", 404, None),
        ("GET", "/", 404, None),
        ("GET", "/api", 404, None),
        ("POST", API, 404, None),
        ("POST", API + "/nope", 404, None),
        ("POST", API + "/SUBMIT", 404, None),
        ("POST", API + "/submit%00", 404, None),
        ("POST", API + "/registerBranchX", 404, None),
        ("GET", API + "/submit", 405, None),
        ("PUT", API + "/submit", 405, None),
        ("BREW", API + "/submit", 405, None),
        ("POST", API + "/newGid", 405, None),
        ("POST", API + "/query", 405, None),
        ("GET", API + "/registerBranch", 405, None),
        ("GET", API + "/registerSomeBranch", 405, None),
        ("GET", API + "/topic/t", 405, None),
        ("GET", API + "/forceStop", 405, None),
    ],
)
async def test_paths_and_methods(running, method, path, status, location):
    async with running() as server:
        code, headers, body = await server.ask(method, path, b"{}")
        assert (code, headers.get("location")) == (status, location)
        assert location or json.loads(body).keys() == {"message"}


@pytest.mark.gen_test
async def test_signs_of_life(running):
    async with running(Settings(auth=(Token(token="t"),))) as server:
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            status, _, body = await server.ask(method, "/api/ping")
            assert (status, body) == (200, b'{"msg":"pong"}')
        assert (await server.ask("HEAD", "/api/ping"))[::2] == (200, b"")
        assert (await server.ask("GET", "/healthz"))[::2] == (200, b'{"status":"ok"}')
    async with running() as server:
        status, _, body = await server.ask("GET", API + "/version")
        assert status == 200
        assert json.loads(body)["version"].startswith("v")


# Each of these is 400 (or 405) once the caller is let in, and never reaches the service.
CLIENT = [(verb, "POST", f"{API}/{verb}", 400) for verb in ("submit", "prepare", "abort", "registerXBranch")]
CLIENT += [(name, "GET", f"{API}/{name}?gid=%FF&cat=%FF", 400) for name in ("query", "all", "scanKV", "queryKV")]
CLIENT += [("version", "POST", API + "/version", 405)]
OPERATOR = [(name, "POST", f"{API}/{name}", 400) for name in ("forceStop", "resetNextCronTime")]
OPERATOR += [(name, "POST", f"{API}/{name}?topic=%FF", 400) for name in ("subscribe", "unsubscribe")]
OPERATOR += [("resetCronTime", "POST", API + "/resetCronTime?timeout=nan", 400)]
OPERATOR += [(name, "GET", f"{API}/{name}", 405) for name in ("subscribe", "unsubscribe", "resetCronTime")]
OPERATOR += [("topic", "POST", API + "/topic/t", 405)]
CALLS = [(*call, False) for call in CLIENT] + [(*call, True) for call in OPERATOR]
BASIC = "Authorization: Basic b3A6b3A=\r\n"


def bearer(token):
    return f"Authorization: Bearer {token}\r\n"


@pytest.mark.gen_test
@pytest.mark.parametrize(("name", "method", "path", "status", "operator"), CALLS)
async def test_who_may_do_what(running, name, method, path, status, operator):
    tokens = (Token(token="cl"), Token(token="öp", role="operator"))
    closed = Settings(auth=tokens, compat=Compat(get_writes=False))
    async with running(closed) as server:

        async def ask(headers):
            return await server.ask(method, path, b"x", headers)

        for headers in ("", BASIC, bearer(""), bearer("no"), bearer("CL"), "Authorization: cl\r\n"):
            code, said, body = await ask(headers)
            assert (code, said["www-authenticate"]) == (401, "Bearer"), headers
            assert json.loads(body) == {"message": "a known bearer token is needed"}
        assert (await ask(bearer("cl")))[0] == (403 if operator else status)
        assert (await ask(bearer("öp")))[0] == status
        assert (await ask("authorization: bearer öp\r\n"))[0] == status
    for auth in (None, "none"):
        async with running(Settings(auth=auth, compat=Compat(get_writes=False))) as server:
            assert (await server.ask(method, path, b"x"))[0] == status
    async with running(Settings(auth=())) as server:
        assert (await server.ask(method, path, b"x", bearer("")))[0] == 401


@pytest.mark.gen_test
async def test_a_web_page_changes_nothing(running):
    foreign = "Origin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\n"
    async with running() as server:
        assert (await server.ask("POST", "/echo", b"{}", foreign))[0] == 403
        for name in ("subscribe", "unsubscribe", "resetCronTime"):
            assert (await server.ask("GET", f"{API}/{name}?topic=%FF&timeout=x", b"", foreign))[0] == 403
            assert (await server.ask("GET", f"{API}/{name}?topic=%FF&timeout=x"))[0] == 400


def test_every_route_is_authorized_unless_it_is_a_sign_of_life():
    assert {path for path, handler in ROUTES if handler.public} == {"/api/ping", "/healthz", "/readyz"}


@pytest.mark.gen_test
async def test_a_probe_is_told_of_trouble_and_leaves_no_line_in_the_log(running, not_ready, caplog):
    async with running() as server:
        status, _, body = await server.ask("GET", "/readyz")
    assert (status, json.loads(body)) == (503, {"message": "no disk"})
    assert not caplog.records
