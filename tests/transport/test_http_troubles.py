"""Participants that hang, drip, reset, lie, and connections that die."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct

import pytest
from raw_participants import Gate, ok, outgoing, read_request, until, yes

from dtm.core.transport.base import CallFailed
from dtm.core.transport.reply import MAX_REPLY

LIMIT = f"reply longer than {MAX_REPLY} bytes"


def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.gen_test
async def test_hanging_participant(participant, transport):
    async def script(reader, writer):
        await reader.read()

    server = await participant(script)
    gate = Gate(True)
    with pytest.raises(CallFailed, match=r"^no reply within 0\.1 s$"):
        await transport().call(outgoing(server.url, timeout=0.1), gate)
    assert gate.asked == 1
    await until(lambda: server.ended == 1)


@pytest.mark.gen_test
async def test_participant_that_never_reads(participant, transport):
    async def script(reader, writer):
        await asyncio.sleep(60)

    server = await participant(script)
    with pytest.raises(CallFailed, match="no reply within"):
        await transport().call(outgoing(server.url, b"x" * 20_000_000, timeout=0.2), yes)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "])
@pytest.mark.gen_test
async def test_dripping_participant(participant, transport, start):
    async def script(reader, writer):
        await read_request(reader)
        writer.write(start)
        for byte in start or b"HTTP/1.1 200 OK and so on and on and on":
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0.05)

    server = await participant(script)
    with pytest.raises(CallFailed, match="no reply within"):
        await transport().call(outgoing(server.url, timeout=0.3), yes)
    await until(lambda: server.ended == 1)


def chunked(size: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"400\r\n" + b"x" * 1024 + b"\r\n") * (
        size // 1024
    )


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (ok(b"x" * (MAX_REPLY + 1)), LIMIT),
        (ok(b"x" * (10 << 20)), LIMIT),
        (chunked(10 << 20), LIMIT),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (10 << 20), LIMIT),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * (10 << 20), LIMIT),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * (10 << 20), "reply's headers longer than 65536 bytes"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000 + b"\r\n", "reply's headers longer than 65536 bytes"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 9_000, "reply's headers longer than 65536 bytes"),
        (ok(gzip.compress(b"\0" * (200 << 20)), b"Content-Encoding: gzip"), LIMIT),
        (ok(gzip.compress(b"\0" * (MAX_REPLY + 1)), b"Content-Encoding: x-gzip"), LIMIT),
        (ok(b"not gzip", b"Content-Encoding: gzip"), "reply is no proper gzip"),
        (ok(gzip.compress(b"cut off")[:-3], b"Content-Encoding: gzip"), "reply is no proper gzip"),
        (ok(gzip.compress(b"a") + b"x", b"Content-Encoding: gzip"), "reply is no proper gzip"),
        (ok(b"x", b"Content-Encoding: br"), "reply in an unknown encoding: br"),
        (ok(b"x", b"Content-Encoding: gzip", b"Content-Encoding: gzip"), "reply in an unknown encoding: gzip, gzip"),
        (b"\x16\x03\x01\x00\x05hello", "the reply is no proper HTTP"),
        (b"hello\r\n\r\n", "the reply is no proper HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "the reply is no proper HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhey", "the reply is no proper HTTP"),
        (ok(b"0\r\n\r\n", b"Transfer-Encoding: chunked"), "the reply is no proper HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "the reply is no proper HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "unknown transfer encoding"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "unexpected reply: 101"),
    ],
    ids=range(23),
)
@pytest.mark.gen_test
async def test_useless_reply(participant, transport, raw, text):
    server = await participant()
    server._script = server.answer(raw)
    http = transport()
    for number in (1, 2):
        gate = Gate(True)
        with pytest.raises(CallFailed) as caught:
            await http.call(outgoing(server.url), gate)
        assert text in str(caught.value)
        assert len(str(caught.value)) < 120
        assert (gate.asked, server.accepted) == (1, number)
        await until(lambda number=number: server.ended == number)


PARTS = [b"H", b"HTTP/1.1 200 OK\r\n", ok(b"x" * 100)[:-1], chunked(4096)]


@pytest.mark.parametrize("part", PARTS, ids=range(len(PARTS)))
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.gen_test
async def test_connection_that_ends_within_a_reply(participant, transport, part, how):
    async def script(reader, writer):
        if script.whole:
            script.whole = False
            await read_request(reader)
            writer.write(ok())
        await read_request(reader)
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.02)
        if how == "reset":
            reset(writer)

    script.whole = True
    server = await participant(script)
    http = transport()
    await http.call(outgoing(server.url), yes)
    gate = Gate(True)
    word = "closed" if how == "close" else "reset"
    with pytest.raises(CallFailed, match=f"^connection {word} before the reply was complete$"):
        await http.call(outgoing(server.url), gate)
    assert (gate.asked, server.accepted) == (1, 1)


@pytest.mark.gen_test
async def test_reset_of_a_reply_that_ends_with_the_connection(participant, transport):
    async def script(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf of i")
        await writer.drain()
        await asyncio.sleep(0.02)
        reset(writer)

    server = await participant(script)
    with pytest.raises(CallFailed, match="connection reset before the reply was complete"):
        await transport().call(outgoing(server.url), yes)


def dying(how: str, lives: int):
    """A participant whose first connections answer once and die when they hear a second request; later ones live."""

    async def script(reader, writer):
        number, script.number = script.number, script.number + 1
        script.heard.append(await read_request(reader))
        writer.write(ok())
        script.heard.append(await read_request(reader))
        if number < lives:
            if how == "reset":
                reset(writer)
            return
        writer.write(ok(b"again"))
        await reader.read()

    script.number = 0
    script.heard = []
    return script


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.gen_test
async def test_kept_connection_that_died_is_replaced_once(participant, transport, how):
    script = dying(how, lives=1)
    server = await participant(script)
    http = transport()
    await http.call(outgoing(server.url, b"first"), yes)
    gate = Gate(True, True)
    reply = await http.call(outgoing(server.url, b"second"), gate)
    assert (reply.body, gate.asked, server.accepted) == (b"hi", 2, 2)
    assert [request[-6:] for request in script.heard] == [b"\nfirst", b"second", b"second"]


@pytest.mark.gen_test
async def test_new_connection_that_dies_is_not_replaced(participant, transport):
    async def script(reader, writer):
        await read_request(reader)

    server = await participant(script)
    gate = Gate(True)
    with pytest.raises(CallFailed, match="connection closed before the reply began"):
        await transport().call(outgoing(server.url), gate)
    assert (gate.asked, server.accepted) == (1, 1)


@pytest.mark.gen_test
async def test_second_death_is_a_failure_and_others_in_the_pool_are_left_alone(participant, transport):
    async def script(reader, writer):
        number, script.number = script.number, script.number + 1
        await read_request(reader)
        if number < 2:
            await asyncio.sleep(0.05)
            writer.write(ok())
            await read_request(reader)

    script.number = 0
    server = await participant(script)
    http = transport()
    await asyncio.gather(*(http.call(outgoing(server.url), yes) for _ in range(2)))
    gate = Gate(True, True)
    with pytest.raises(CallFailed, match="closed before the reply began"):
        await http.call(outgoing(server.url), gate)
    assert (gate.asked, server.accepted) == (2, 3)


@pytest.mark.gen_test
async def test_a_call_that_was_begun_is_never_called_not_begun(participant, transport):
    """The gate closes, or the participant goes, between the two sendings: the first one may have been heard."""
    server = await participant(dying("close", lives=9))
    http = transport()
    await http.call(outgoing(server.url), yes)
    gate = Gate(True, False)
    with pytest.raises(CallFailed, match="not sent again: withdrawn"):
        await http.call(outgoing(server.url), gate)
    assert gate.asked == 2

    await http.call(outgoing(server.url), yes)
    server._server.close()
    with pytest.raises(CallFailed, match="not sent again: connection refused"):
        await http.call(outgoing(server.url), Gate(True))


@pytest.mark.gen_test
async def test_connection_that_died_while_idle_is_not_tried(participant, transport):
    server = await participant()
    server._script = server.answer(ok(), close=True)
    http = transport()
    for number in (1, 2):
        gate = Gate(True)
        await http.call(outgoing(server.url), gate)
        await until(lambda number=number: server.ended == number)
        await asyncio.sleep(0.02)
    assert server.accepted == 2
