"""Every shape of reply over real sockets, and what connections are kept."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
from dataclasses import replace
from functools import partial

import pytest
from raw_participants import Gate, ok, outgoing, read_request, until, yes
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from dtm.core.transport.base import CallFailed, NotSent, Withdrawn
from dtm.core.transport.reply import MAX_REPLY


@pytest.mark.gen_test
async def test_request_as_it_is_sent(participant, transport):
    server = await participant()
    http = transport()
    for body in (b'{"amount":30}', b""):
        reply = await http.call(outgoing(server.url + "&gid=g%20", body, Test_Header="ü"), yes)
        assert (reply.status, reply.body) == (200, b"hi")
    post, get = server.requests
    lines = post.split(b"\r\n")
    assert lines[0] == b"POST /path?q=1&gid=g%20 HTTP/1.1"
    assert sorted(lines[1:4]) == [
        b"Content-Length: 13",
        f"Host: {server.place}".encode(),
        "Test_Header: ü".encode(),
    ]
    assert lines[4:] == [b"", b'{"amount":30}']
    assert get.startswith(b"GET /path?q=1&gid=g%20 HTTP/1.1\r\n")
    assert b"Content-Length" not in get


@pytest.mark.gen_test
async def test_empty_post_says_its_length_and_any_call_its_epoch(participant, transport):
    server = await participant()
    call = outgoing(server.url)
    http = transport()
    for epoch in (0, 12):
        await http.call(replace(call, method="POST", epoch=partial(int, epoch)), yes)
    without, with_epoch = server.requests
    assert b"\r\nContent-Length: 0\r\n" in without
    assert b"dtm-epoch" not in without
    assert b"\r\ndtm-epoch: 12\r\n" in with_epoch


@pytest.mark.gen_test
async def test_one_connection_serves_many_calls(participant, transport):
    server = await participant()
    http = transport()
    for _ in range(10):
        await http.call(outgoing(server.url), yes)
    assert server.accepted == 1
    await asyncio.gather(*(http.call(outgoing(server.url), yes) for _ in range(10)))
    assert server.accepted == 10
    await asyncio.gather(*(http.call(outgoing(server.url), yes) for _ in range(10)))
    assert server.accepted == 10


@pytest.mark.gen_test
async def test_only_so_many_idle_connections_are_kept(participant, transport):
    server = await participant()
    http = transport(idle_per_host=2)
    await asyncio.gather(*(http.call(outgoing(server.url), yes) for _ in range(5)))
    await until(lambda: server.ended == 3)
    await asyncio.sleep(0.02)
    assert server.ended == 3


@pytest.mark.gen_test
async def test_idle_connections_are_closed_and_not_used_again(participant, transport):
    server = await participant()
    http = transport(idle_limit=0.1)
    await http.call(outgoing(server.url), yes)
    await until(lambda: server.ended == 1)
    await http.call(outgoing(server.url), yes)
    assert server.accepted == 2
    slow = transport(idle_limit=0.0)
    await slow.call(outgoing(server.url), yes)
    await slow.call(outgoing(server.url), yes)
    assert server.accepted == 4


@pytest.mark.gen_test
async def test_connections_in_use_outlive_the_idle_ones(participant, transport):
    server = await participant()
    http = transport(idle_limit=0.2)
    await asyncio.gather(*(http.call(outgoing(server.url), yes) for _ in range(2)))
    for _ in range(30):
        await http.call(outgoing(server.url), yes)
        await asyncio.sleep(0.02)
    assert (server.accepted, server.ended) == (2, 1)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;x=y\r\ncde\r\n0\r\nTrailer: x\r\n\r\n"
EARLY = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\nContent-Length: 7\r\n\r\n"


@pytest.mark.parametrize(
    ("raw", "status", "body", "kept"),
    [
        (ok(b"x" * 70_000), 200, b"x" * 70_000, True),
        (ok(b"x" * MAX_REPLY), 200, b"x" * MAX_REPLY, True),
        (CHUNKED, 200, b"abcde", True),
        (EARLY + ok(b"late"), 200, b"late", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 302, b"", True),
        (b"HTTP/1.1 500 \r\nContent-Length: 3\r\n\r\nbad", 500, b"bad", True),
        (ok(gzip.compress(b"word" * 999), b"Content-Encoding: gzip"), 200, b"word" * 999, True),
        (ok(b"", b"Content-Encoding: gzip"), 200, b"", True),
        (ok(b"x", b"content-encoding: Identity"), 200, b"x", True),
        (ok(b"bye", b"Connection: close"), 200, b"bye", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", False),
        (ok(b"hi") + b"x", 200, b"hi", False),
        (ok(b"hi") + ok(b"HTTP"), 200, b"hi", False),
    ],
)
@pytest.mark.gen_test
async def test_reply(participant, transport, raw, status, body, kept):
    server = await participant()
    server._script = server.answer(raw)
    http = transport()
    for number in (1, 2):
        reply = await http.call(outgoing(server.url), yes)
        assert (reply.status, reply.body) == (status, body)
        assert server.accepted == (1 if kept else number)
    assert len(server.requests) == 2


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 409 Conflict\r\nConnection: close\r\n\r\n"])
@pytest.mark.gen_test
async def test_reply_that_ends_with_the_connection(participant, transport, head):
    server = await participant()
    server._script = server.answer(head + b"until the end", close=True)
    http = transport()
    for number in (1, 2):
        reply = await http.call(outgoing(server.url), yes)
        assert reply.body == b"until the end"
        assert server.accepted == number


@pytest.mark.gen_test
async def test_reply_in_single_bytes(participant, transport):
    async def script(reader, writer):
        await read_request(reader)
        for number in range(len(EARLY + CHUNKED)):
            writer.write((EARLY + CHUNKED)[number : number + 1])
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    server = await participant(script)
    assert (await transport().call(outgoing(server.url), yes)).body == b"abcde"


@pytest.mark.gen_test
async def test_bytes_that_nobody_asked_for_end_an_idle_connection(participant, transport):
    async def script(reader, writer):
        await read_request(reader)
        writer.write(ok())
        await asyncio.sleep(0.02)
        writer.write(ok(b"not yours"))
        await reader.read()

    server = await participant(script)
    http = transport()
    await http.call(outgoing(server.url), yes)
    await until(lambda: server.ended == 1)
    assert (await http.call(outgoing(server.url), yes)).body == b"hi"
    assert server.accepted == 2


@pytest.mark.parametrize("unasked", [ok(b"not yours"), b"H", None])
@pytest.mark.gen_test
async def test_what_came_in_this_very_turn_ends_an_idle_connection_too(participant, transport, unasked):
    """The event loop has not read it when the next call begins. None: the participant has closed."""
    served = []

    async def script(reader, writer):
        served.append(writer)
        while request := await read_request(reader):
            server.requests.append(request)
            writer.write(ok())

    server = await participant(script)
    http = transport()
    await http.call(outgoing(server.url), yes)
    sock = served[0].get_extra_info("socket")
    if unasked is None:
        sock.shutdown(socket.SHUT_WR)
    else:
        assert os.write(sock.fileno(), unasked) == len(unasked)
    gate = Gate(True)
    assert (await http.call(outgoing(server.url), gate)).body == b"hi"
    assert (len(server.requests), server.accepted) == (2, 2)
    await until(lambda: server.ended == 1)


@pytest.mark.gen_test
async def test_ipv6(participant, transport):
    server = await participant(host="::1")
    http = transport()
    assert http.host_of(server.url) == f"http://[::1]:{server.port}"
    assert (await http.call(outgoing(server.url), yes)).body == b"hi"
    assert f"\r\nHost: [::1]:{server.port}\r\n".encode() in server.requests[0]


@pytest.mark.gen_test
async def test_gate_that_says_no_costs_the_participant_nothing(participant, transport):
    server = await participant()
    http = transport()
    for gate in (Gate(False), Gate(False)):
        with pytest.raises(Withdrawn):
            await http.call(outgoing(server.url), gate)
        assert gate.asked == 1
    assert (await http.call(outgoing(server.url), Gate(True))).body == b"hi"
    assert server.accepted == 1
    assert len(server.requests) == 1


@pytest.mark.gen_test
async def test_gate_that_raises_gives_the_connection_back(participant, transport):
    server = await participant()
    http = transport()
    with pytest.raises(IndexError):
        await http.call(outgoing(server.url), Gate())
    await http.call(outgoing(server.url), yes)
    assert server.accepted == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Test", "a\r\nX-Injected: yes"),
        ("X-Test", "a\nb"),
        ("X-Test", "\0"),
        ("X-Test\r\nX-Injected: yes\r\nY", "a"),
        ("X Test", "a"),
        ("", "a"),
        ("Content-Length", "0"),
        ("transfer-encoding", "chunked"),
        ("Host", "elsewhere"),
    ],
)
@pytest.mark.gen_test
async def test_header_injection(participant, transport, name, value):
    server = await participant()
    gate = Gate()
    with pytest.raises(NotSent, match="illegal header"):
        await transport().call(outgoing(server.url, b"", 2.0, **{name: value}), gate)
    assert (gate.asked, server.accepted) == (0, 0)


@pytest.mark.parametrize("path", ["/ HTTP/1.1\r\nX: y", "/a b", "/\n", "/ü", "/\x7f"])
@pytest.mark.gen_test
async def test_request_line_injection(participant, transport, path):
    server = await participant()
    with pytest.raises(NotSent, match="illegal"):
        await transport().call(outgoing(f"http://{server.place}{path}"), yes)
    assert server.accepted == 0


@pytest.mark.gen_test
async def test_headers_without_end_are_not_sent(transport):
    headers = {f"x-{number}": "y" * 1000 for number in range(70)}
    with pytest.raises(NotSent, match="headers longer than 65536 bytes"):
        await transport().call(outgoing("http://127.0.0.1:1/", b"", 2.0, **headers), yes)


@pytest.mark.gen_test
async def test_url_that_cannot_be_called(transport):
    http = transport()
    with pytest.raises(NotSent, match="not an absolute http"):
        await http.call(outgoing("ftp://127.0.0.1/"), yes)
    assert http.host_of("ftp://127.0.0.1/") == ""
    assert http.host_of("HTTPS://Example.COM/x?y#z") == "https://example.com:443"


@pytest.mark.gen_test
async def test_a_closed_transport_calls_nobody(participant, transport):
    server = await participant()
    http = transport()
    await http.call(outgoing(server.url), yes)
    await http.close()
    with pytest.raises(NotSent, match="stopping"):
        await http.call(outgoing(server.url), yes)
    await until(lambda: server.ended == 1)


class Echo(RequestHandler):
    async def get(self) -> None:
        self.write({"query": self.request.query})

    async def post(self) -> None:
        self.set_status(409)
        self.write(self.request.body)


@pytest.mark.gen_test
async def test_a_tornado_participant(transport):
    """A server that we did not write: gzip, and large bodies in both directions."""
    sock, port = bind_unused_port()
    server = HTTPServer(Application([("/.*", Echo)], compress_response=True))
    server.add_socket(sock)
    http = transport()
    url = f"http://127.0.0.1:{port}/x?gid=1"
    try:
        for _ in range(3):
            call = outgoing(url, b"", 2.0, **{"Accept-Encoding": "gzip"})
            assert (await http.call(call, yes)).body == b'{"query": "gid=1"}'
            reply = await http.call(outgoing(url, b"z" * 900_000), yes)
            assert (reply.status, reply.body) == (409, b"z" * 900_000)
    finally:
        server.stop()
        await http.close()
        await server.close_all_connections()


@pytest.mark.gen_test
async def test_closing_fails_what_is_under_way(participant, transport):
    async def script(reader, writer):
        await reader.read()

    server = await participant(script)
    http = transport()
    call = asyncio.ensure_future(http.call(outgoing(server.url), yes))
    await until(lambda: server.accepted == 1)
    await http.close()
    with pytest.raises(CallFailed, match="the coordinator closed the connection"):
        await call
    await until(lambda: server.ended == 1)
