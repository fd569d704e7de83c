"""HTTP as both servers speak it: framing, order, ends of connections, clients that read or write half."""

import asyncio
import gc
import json
import socket
from contextlib import contextmanager, suppress

import pytest

from dtm.core.deadline import Deadline
from dtm.core.web.connection import Connection
from dtm.core.web.server import HTTPTOOLS
from dtm.core.web.stream import Stream

PING = b"GET /api/ping HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
PONG = b'{"msg":"pong"}'


def replies(data):
    """The bodies of replies on one connection, each with its Content-Length."""
    found = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        found.append((int(head.split()[1]), rest[:length]))
        data = rest[length:]
    return found


def echo(value, *headers):
    body = json.dumps({"n": value}).encode()
    lines = [b"POST /echo HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


LAST = PING.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


@pytest.mark.gen_test
async def test_pipelined_requests_are_answered_in_order(running):
    async with running() as server:
        said = replies(await server.send(b"".join(map(echo, range(200))) + LAST))
        assert said == [(200, b'{"body":{"n":%d}}' % n) for n in range(200)] + [(200, PONG)]


OFFERS = {
    "h2c": (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
    "websocket": (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
}


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
@pytest.mark.gen_test
async def test_another_protocol_is_not_taken_up(running, offer):
    """As Java's client and `curl --http2` offer it with each request: the request is answered as if they had not."""
    async with running() as server:
        ping = PING.replace(b"\r\n\r\n", b"\r\n" + b"\r\n".join(offer) + b"\r\n\r\n")
        said = replies(await server.send(echo(1) + echo(2, *offer) + ping + echo(3, *offer) + LAST))
        assert said == [(200, b'{"body":{"n":%d}}' % n) for n in (1, 2)] + [
            (200, PONG), (200, b'{"body":{"n":3}}'), (200, PONG)
        ]  # fmt: skip
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for byte in echo(4, *offer) + LAST:
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert replies(await reader.read()) == [(200, b'{"body":{"n":4}}'), (200, PONG)]
        writer.close()


@pytest.mark.gen_test
async def test_no_tunnel_is_made(running):
    async with running() as server:
        said = await server.send(b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
        ((status, _),) = replies(said)  # one answer, and nothing behind it
        assert status in (404, 405)


@pytest.mark.gen_test
async def test_a_slow_request_holds_up_those_behind_it(running, slow):
    async with running() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(echo(0).replace(b"/echo", b"/slow") + LAST)
        await slow.begun.wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        slow.go_on.set()
        assert [status for status, _ in replies(await reader.read())] == [200, 200]
        writer.close()


@pytest.mark.gen_test
async def test_bytes_one_by_one(running):
    async with running() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for byte in echo(1) + LAST:
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert replies(await reader.read()) == [(200, b'{"body":{"n":1}}'), (200, PONG)]
        writer.close()


@pytest.mark.gen_test
async def test_nothing_follows_a_connection_close(running, slow):
    async with running() as server:
        assert replies(await server.send(LAST + echo(0).replace(b"/echo", b"/slow"))) == [(200, PONG)]
        await asyncio.sleep(0.05)
        assert not slow.begun.is_set()


@pytest.mark.gen_test
@pytest.mark.parametrize(("headers", "kept"), [(b"", False), (b"Connection: keep-alive\r\n", True)])
async def test_http_1_0(running, headers, kept):
    async with running(idle_timeout=0.3) as server:
        reply = await server.send((b"GET /api/ping HTTP/1.0\r\n" + headers + b"\r\n") * 2)
        assert reply.count(PONG) == 1 + kept
        assert (b"Connection: Keep-Alive" in reply) == kept


@pytest.mark.gen_test
async def test_head_has_no_body(running):
    async with running() as server:
        reply = await server.send(b"HEAD /api/ping HTTP/1.1\r\nHost: x\r\n\r\n" + LAST)
        head, _, rest = reply.partition(b"\r\n\r\n")
        assert b"Content-Length: %d" % len(PONG) in head
        assert replies(rest) == [(200, PONG)]


@pytest.mark.gen_test
async def test_expect_100_continue(running):
    async with running() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head, _, body = echo(1, b"Expect: 100-continue", b"Connection: close").partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(body)
        assert replies(await reader.read()) == [(200, b'{"body":{"n":1}}')]
        writer.close()


@pytest.mark.gen_test
@pytest.mark.parametrize(("extension", "trailer"), [(b";x=y", b""), (b"", b"X: y\r\n")])
async def test_chunk_extensions_and_trailers(running, extension, trailer):
    """Read over, or refused (so Tornado): never taken for something else."""
    body = b"7" + extension + b'\r\n{"n":1}\r\n0\r\n' + trailer + b"\r\n"
    async with running() as server:
        reply = await server.send(CHUNKED + body + LAST)
        if server.kind == HTTPTOOLS:
            assert replies(reply) == [(200, b'{"body":{"n":1}}'), (200, PONG)]
        else:
            assert reply == b"" or reply.startswith(b"HTTP/1.1 400 ")


LARGE = b"GET /echo?gid=" + b"x" * 14_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"


@contextmanager
def deaf(server):
    """A client with small buffers: it sends, and never reads."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.setblocking(False)
        yield client


@pytest.mark.gen_test
async def test_a_client_that_reads_nothing_holds_nobody_up(running):
    """Its answers fill the buffers; then nothing more of it is read, and the others are served."""
    async with running() as server:
        with deaf(server) as client:
            sent = 0
            with pytest.raises(TimeoutError):  # at the latest when the buffers on both sides are full
                async with asyncio.timeout(1):
                    while sent < 64 * 1024 * 1024:
                        await asyncio.get_running_loop().sock_sendall(client, LARGE)
                        sent += len(LARGE)
            assert sent < 32 * 1024 * 1024
            assert (await server.ask("GET", "/healthz"))[0] == 200


@pytest.mark.gen_test
async def test_a_client_that_takes_no_answer_is_hung_up_on(running):
    async with running(body_timeout=0.1) as server:
        with deaf(server) as client, pytest.raises(ConnectionError):
            while True:
                await asyncio.get_running_loop().sock_sendall(client, LARGE)
        assert (await server.ask("GET", "/healthz"))[0] == 200


def kept():
    """What the server has not let go of: connections of clients, and their deadlines."""
    gc.collect()
    return len([each for each in gc.get_objects() if isinstance(each, Stream | Connection | Deadline)])


async def let_go(before):
    async with asyncio.timeout(5):
        while kept() > before:
            await asyncio.sleep(0.05)


@pytest.mark.gen_test(timeout=20)
async def test_a_client_that_takes_no_answer_is_thrown_out_at_the_end(running):
    async with running() as server:
        before = kept()
        with deaf(server) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    while True:
                        await asyncio.get_running_loop().sock_sendall(client, LARGE)
            server.server.stop()
            with suppress(TimeoutError):
                async with asyncio.timeout(0.2):  # the grace of a coordinator that stops
                    await server.server.close_all_connections()
            await let_go(before)


@pytest.mark.gen_test
async def test_nothing_is_kept_of_a_client_that_has_gone(running):
    """Not even until the time is up that it had for its next request."""
    async with running() as server:
        before = kept()
        for _ in range(20):
            assert (await server.ask("GET", "/api/ping"))[0] == 200
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.close()
            await writer.wait_closed()
        await let_go(before)


@pytest.mark.gen_test
async def test_a_client_that_says_no_more_is_still_answered(running, slow):
    async with running() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(echo(0).replace(b"/echo", b"/slow"))
        await slow.begun.wait()
        writer.write_eof()
        await asyncio.sleep(0.05)
        slow.go_on.set()
        assert [status for status, _ in replies(await reader.read())] == [200]
        writer.close()


@pytest.mark.gen_test
async def test_an_end_in_the_midst_of_a_request(running, caplog):
    async with running() as server:
        for part in (b"GET /api", echo(1)[:-3]):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(part)
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
        assert (await server.ask("GET", "/healthz"))[0] == 200
    assert not caplog.records


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "size", [b"-3", b"+3", b"0x3", b"3_0", b" 3", b"", b"g", b"\xb3", b"f" * 17, b"3\n", b"3\r", b"3 3"]
)
async def test_bad_chunk_sizes(running, size, caplog):
    async with running() as server:
        reply = await server.send(CHUNKED + size + b'\r\n{"a\r\n0\r\n\r\n' + PING)
        assert PONG not in reply
        assert not reply.startswith(b"HTTP/1.1 2")
    assert not caplog.records


@pytest.mark.gen_test
@pytest.mark.parametrize("rest", [b'3\r\n{"abc0\r\n\r\n', b'3\r\n{"ab\r\n0\r\n\r\n', b"3\r\n{\r\n0\r\n\r\n"])
async def test_chunks_that_are_not_as_long_as_they_say(running, rest):
    async with running(body_timeout=0.2) as server:
        reply = await server.send(CHUNKED + rest + PING)
        assert PONG not in reply
        assert not reply.startswith(b"HTTP/1.1 2")


@pytest.mark.gen_test
@pytest.mark.parametrize("header", [b"X : a", b" X: a", b"X\t: a", b": a", b"X", b"X\x00: a", b"X: a\rb", b"(X): a"])
async def test_illegal_header_lines(running, header):
    async with running(idle_timeout=0.3) as server:
        reply = await server.send(b"GET /api/ping HTTP/1.1\r\n" + header + b"\r\nHost: x\r\n\r\n")
        assert PONG not in reply
