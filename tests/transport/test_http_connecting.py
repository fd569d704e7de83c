"""Connecting: refused, swallowed, given up by the caller or by the coordinator's end."""

from __future__ import annotations

import asyncio
import socket

import pytest
from raw_participants import Gate, outgoing, read_request, until, yes

from dtm.core.transport.base import CallFailed, NotSent


@pytest.mark.gen_test
async def test_cancelled_call_closes_its_connection(participant, transport):
    async def script(reader, writer):
        await read_request(reader)
        script.heard.set()
        await reader.read()

    script.heard = asyncio.Event()
    server = await participant(script)
    http = transport()
    call = asyncio.ensure_future(http.call(outgoing(server.url), yes))
    await script.heard.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: server.ended == 1)


@pytest.fixture
def swallowing():
    """An address that completes no connection: its queue of waiting ones is full."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(listening.getsockname())
            waiting.append(sock)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        for sock in waiting:
            sock.close()


@pytest.mark.gen_test
async def test_connecting_takes_no_longer_than_allowed(transport, swallowing):
    gate = Gate()
    with pytest.raises(NotSent, match=r"^no connection within 0\.2 s: 127\.0\.0\.1:\d+$"):
        await transport().call(outgoing(swallowing, timeout=0.2), gate)
    with pytest.raises(NotSent, match=r"^no connection within 0\.1 s"):
        await transport(connect_timeout=0.1).call(outgoing(swallowing, timeout=60), gate)
    assert gate.asked == 0


@pytest.mark.gen_test
async def test_cancel_and_close_while_connecting(transport, swallowing):
    http = transport()
    first, second = (asyncio.ensure_future(http.call(outgoing(swallowing, timeout=60), yes)) for _ in range(2))
    await asyncio.sleep(0.02)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await http.close()
    with pytest.raises(NotSent, match="stopping"):
        await second


@pytest.mark.gen_test
async def test_caller_that_gives_up_at_any_moment_leaves_nothing_open(participant, transport):
    server = await participant()
    http = transport()
    for rounds in range(30):
        call = asyncio.ensure_future(http.call(outgoing(server.url), yes))
        for _ in range(rounds):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await asyncio.sleep(0.005)
        assert len(http._pool._open) <= 1
    await http.close()
    await until(lambda: server.ended == server.accepted)


@pytest.mark.gen_test
async def test_closing_at_any_moment_ends_the_call(participant, transport):
    server = await participant()
    heard = 0
    for rounds in range(30):
        http = transport()
        gate = Gate(True)
        call = asyncio.ensure_future(http.call(outgoing(server.url), gate))
        for _ in range(rounds):
            await asyncio.sleep(0)
        await http.close()
        try:
            await call
            heard += 1
        except NotSent:
            assert gate.asked == 0
        except CallFailed:
            assert gate.asked == 1
        assert not http._pool._open
    assert len(server.requests) >= heard
    await until(lambda: server.ended == server.accepted)


@pytest.mark.gen_test
async def test_connection_refused(transport):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{sock.getsockname()[1]}"
        gate = Gate()
        with pytest.raises(NotSent, match=f"^connection refused: {place}$"):
            await transport().call(outgoing(f"http://{place}/"), gate)
        assert gate.asked == 0
