"""The same bytes, the same answer: status, and whether the connection is kept, on both servers."""

import asyncio
import json
from time import perf_counter

import pytest

from dtm.core.web.limits import MAX_HEADERS
from dtm.core.web.refusals import LARGE_HEADERS, MALFORMED
from dtm.core.web.server import TORNADO

GET = b"GET /echo HTTP/1.1\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"
LAST = b"GET /api/ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

KEPT = {
    "to a proxy": b"GET http://x/echo HTTP/1.1\r\nHost: x\r\n\r\n",
    "plain": GET + b"Host: x\r\n\r\n",
    "an empty line before it": b"\r\n" + GET + b"Host: x\r\n\r\n",
    "no host said": GET + b"Host:\r\n\r\n",
    "a tab in a header": GET + b"Host: x\r\nX: a\tb\r\n\r\n",
    "no ASCII in a header": GET + b"Host: x\r\nX: \xe4\r\n\r\n",
    "a body with a GET": GET + b"Host: x\r\nContent-Length: 3\r\n\r\nabc",
    "many headers": GET + b"Host: x\r\n" + b"X: y\r\n" * 400 + b"\r\n",
    "HTTP/1.0, to be kept": b"GET /echo HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
    "in chunks": CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n",
    "CHUNKED": CHUNKED.replace(b"chunked", b"CHUNKED") + b"\r\n02\r\n{}\r\n000\r\n\r\n",
    "another wish": GET + b"Host: x\r\nConnection: foo\r\n\r\n",
    "another expectation": POST + b"Content-Length: 2\r\nExpect: foo\r\n\r\n{}",
}
ANSWERED = {
    "Close": GET + b"Host: x\r\nConnection: Close\r\n\r\n",
    "close among others": GET + b"Host: x\r\nConnection: foo, Close\r\n\r\n",
    "close before others": GET + b"Host: x\r\nConnection: close, TE\r\n\r\n",
    "close against keep-alive": GET + b"Host: x\r\nConnection: keep-alive, close\r\n\r\n",
    "close in one of two": GET + b"Host: x\r\nConnection: x\r\nConnection: close\r\n\r\n",
    "HTTP/1.0": b"GET /echo HTTP/1.0\r\n\r\n",
    "HTTP/1.0, one wish too many": b"GET /echo HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
    "HTTP/1.0, to be kept, without a length": b"POST /api/ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "an expectation in HTTP/1.0": b"POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    "chunks in HTTP/1.0": CHUNKED.replace(b"1.1", b"1.0") + b"\r\n2\r\n{}\r\n0\r\n\r\n",
}
REFUSED = {
    "bare LF": (GET + b"Host: x\r\n\r\n").replace(b"\r\n", b"\n"),
    "bare LF after a header": GET + b"Host: x\nX: y\r\n\r\n",
    "bare LF at the end": GET + b"Host: x\r\n\n",
    "bare LF at the start": GET.replace(b"\r\n", b"\n") + b"Host: x\r\n\r\n",
    "CR CR LF": GET.replace(b"\r\n", b"\r\r\n") + b"Host: x\r\n\r\n",
    "bare CR": GET + b"Host: x\rX: y\r\n\r\n",
    "a folded header": GET + b"Host: x\r\nX: a\r\n b\r\n\r\n",
    "a folded first header": GET + b" Host: x\r\n\r\n",
    "a length twice": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "an empty length": POST + b"Content-Length:\r\n\r\n",
    "an absurd length": POST + b"Content-Length: 100000000\r\n\r\n",
    "HTTP/1.2": b"GET /echo HTTP/1.2\r\nHost: x\r\n\r\n",
    "HTTP/2.0": b"GET /echo HTTP/2.0\r\nHost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"GET /echo\r\n\r\n",
    "space behind the version": b"GET /echo HTTP/1.1 \r\nHost: x\r\n\r\n",
    "a control character in the path": b"GET /ec\x01ho HTTP/1.1\r\nHost: x\r\n\r\n",
    "a zero byte": GET + b"Host: x\r\nX: a\0b\r\n\r\n",
    "no host": GET + b"\r\n",
    "two hosts": GET + b"Host: x\r\nHost: y\r\n\r\n",
    "no such host": GET + b"Host: a b\r\n\r\n",
    "no name": GET + b"Host: x\r\n: y\r\n\r\n",
    "no colon": GET + b"Host: x\r\nX\r\n\r\n",
    "chunked twice": CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a bare LF behind a chunk's size": CHUNKED + b"\r\n2\n{}\r\n0\r\n\r\n",
    "a bare LF behind a chunk": CHUNKED + b"\r\n2\r\n{}\n0\r\n\r\n",
    "a chunk's size without end": CHUNKED + b"\r\n" + b"0" * 100,
}


@pytest.mark.gen_test
@pytest.mark.parametrize("request_", KEPT.values(), ids=KEPT)
async def test_answered_and_kept(running, request_):
    async with running() as server:
        reply = await server.send(request_ + LAST)
        assert reply.startswith(b"HTTP/1.1 200 ")
        assert reply.count(b"HTTP/1.1 200 ") == 2


@pytest.mark.gen_test
@pytest.mark.parametrize("request_", ANSWERED.values(), ids=ANSWERED)
async def test_answered_and_closed(running, request_):
    async with running() as server:
        reply = await server.send(request_ + LAST)
        status, headers, _ = server.parse(reply)
        assert (status, headers["connection"]) == (200, "close")
        assert reply.count(b"HTTP/1.1 ") == 1


@pytest.mark.gen_test
@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
async def test_refused_in_json_and_closed(running, request_, caplog):
    async with running() as server:
        assert await server.send(request_ + LAST) == MALFORMED
    assert not caplog.records


@pytest.mark.gen_test
@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 431)])
async def test_the_limit_of_headers_is_exact(running, more, status):
    head = GET + b"Host: x\r\nConnection: close\r\nX: "
    async with running() as server:
        reply = await server.send(head + b"x" * (MAX_HEADERS - len(head) - 4 + more) + b"\r\n\r\n")
        assert server.parse(reply)[0] == status


@pytest.mark.gen_test
@pytest.mark.parametrize("large", [b"X: " + b"x" * 17_000, b"X: y\r\n" * 3_000])
async def test_large_headers(running, large, caplog):
    async with running() as server:
        assert await server.send(GET + b"Host: x\r\n" + large) == LARGE_HEADERS
    assert not caplog.records


@pytest.mark.gen_test
@pytest.mark.parametrize(("size", "status"), [(4 << 20, 200), ((4 << 20) + 1, 413), (6 << 20, 413)])
async def test_a_body_in_chunks_has_the_limit_of_others(running, size, status):
    """Whoever sends too much hears so, and is hung up on."""
    body = b"{}".ljust(size)
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:100_000], body[100_000:]))
    async with running() as server:
        reply = await server.send(CHUNKED + b"\r\n" + chunks + b"0\r\n\r\n" + LAST)
        assert server.parse(reply)[0] == status
        assert reply.count(b"HTTP/1.1 ") == (2 if status == 200 else 1)


@pytest.mark.gen_test
async def test_chunks_without_end_are_read_up_to_a_limit(running):
    """They are refused after 64 MiB; whether the sender comes to read that, is up to the network."""
    async with running() as server:
        chunk = b"400000\r\n" + bytes(4 << 20) + b"\r\n"
        reply = await server.send(CHUNKED + b"\r\n" + chunk * 17)
        assert reply in (b"", MALFORMED)


@pytest.mark.gen_test
@pytest.mark.parametrize("spelling", [b"100-continue", b"100-Continue"])
async def test_an_expectation_in_any_case(running, spelling):
    async with running() as server:
        head = POST + b"Connection: close\r\nContent-Length: 2\r\nExpect: " + spelling + b"\r\n\r\n"
        reply = await server.send(head, then=b"{}", after=0.05)
        assert reply.startswith(b"HTTP/1.1 100 ")
        assert reply.endswith(b'{"body":{}}')


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/healthz", "/api/ping", "/api/dtmsvr/version", "/echo"])
async def test_head_is_get_without_its_body(running, path):
    async with running() as server:
        got, headers, body = await server.ask("GET", path)
        headed, its_headers, nothing = await server.ask("HEAD", path)
        assert (got, headed, nothing) == (200, 200, b"")
        assert its_headers["content-length"] == headers["content-length"] == str(len(body))


@pytest.mark.gen_test
async def test_head_changes_nothing(running):
    """What old clients change by GET."""
    async with running() as server:
        assert (await server.ask("HEAD", "/api/dtmsvr/resetCronTime"))[0] == 405


@pytest.mark.gen_test
async def test_a_pipelined_request_begins_with_its_turn(running, slow):
    """What `dtm_server_response_duration` counts: not what those before it took."""
    async with running() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(POST.replace(b"/echo", b"/slow") + b"Content-Length: 0\r\n\r\n")
        writer.write(LAST.replace(b"/api/ping", b"/began"))
        await slow.begun.wait()
        released = perf_counter()
        slow.go_on.set()
        _, _, body = (await reader.read()).rpartition(b"\r\n\r\n")
        assert json.loads(body)["began"] >= released
        writer.close()


DIFFERENT = {
    "two spaces": (b"GET  /echo HTTP/1.1\r\nHost: x\r\n\r\n", 400, 200),
    "two empty lines before it": (b"\r\n\r\n" + GET + b"Host: x\r\n\r\n", 400, 200),
    "an extension of a chunk": (CHUNKED + b"\r\n2;x=y\r\n{}\r\n0\r\n\r\n", 400, 200),
    "a trailer": (CHUNKED + b"\r\n2\r\n{}\r\n0\r\nX: y\r\n\r\n", 400, 200),
    "raw UTF-8": ("GET /echo?gid=ä HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 200, 400),
    "a lone LF before it": (b"\n" + GET + b"Host: x\r\n\r\n", 400, 200),
    "a tab behind chunked": (CHUNKED.replace(b"chunked", b"chunked\t") + b"\r\n2\r\n{}\r\n0\r\n\r\n", 200, 400),
    "an expectation met": (POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n{}", 100, 200),
    "a path without slash": (b"GET echo HTTP/1.1\r\nHost: x\r\n\r\n", 404, 400),
}


@pytest.mark.gen_test
@pytest.mark.parametrize(("request_", "tornado", "httptools"), DIFFERENT.values(), ids=DIFFERENT)
async def test_what_they_read_differently(running, request_, tornado, httptools):
    """As docs/deployment.md lists it; should one of these change, so must the list."""
    async with running() as server:
        status, _, _ = server.parse(await server.send(request_ + LAST))
        assert status == (tornado if server.kind == TORNADO else httptools)


@pytest.mark.gen_test
async def test_only_one_heeds_what_is_meant_for_proxies(running):
    """In the same list."""
    async with running() as server:
        reply = await server.send(GET + b"Host: x\r\nProxy-Connection: close\r\n\r\n" + LAST)
        assert reply.count(b"HTTP/1.1 200 ") == (2 if server.kind == TORNADO else 1)
