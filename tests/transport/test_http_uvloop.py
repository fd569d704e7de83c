"""The event loop of production behaves like the one of these tests."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import warnings

import pytest
import uvloop
from raw_participants import Gate, Participant, ok, outgoing, read_request, until, yes

from dtm.core.transport.allow import CallbackPolicy
from dtm.core.transport.base import CallFailed, NotSent
from dtm.core.transport.http import HttpTransport


async def plain(http: HttpTransport, server: Participant) -> None:
    async def script(reader, writer):
        script.writer = writer
        while b"/die" not in (request := await read_request(reader)) and request:
            if b"/hang" in request:
                await reader.read()
            if b"/part" in request:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi")
                return
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nhi" if b"/end" in request else ok())
            if b"/end" in request:
                return

    await server.start(script)
    url = f"http://{server.place}"
    for _ in range(3):
        assert (await http.call(outgoing(url, b"x" * 500_000), yes)).body == b"hi"
    assert server.accepted == 1
    os.write(script.writer.get_extra_info("socket").fileno(), ok(b"not yours"))
    assert (await http.call(outgoing(url), yes)).body == b"hi"
    assert server.accepted == 2
    gate = Gate(True, True)
    with pytest.raises(CallFailed, match="before the reply began"):
        await http.call(outgoing(f"{url}/die"), gate)
    assert (gate.asked, server.accepted) == (2, 3)
    assert (await http.call(outgoing(f"{url}/end"), yes)).body == b"hi"
    with pytest.raises(CallFailed, match="before the reply was complete"):
        await http.call(outgoing(f"{url}/part"), yes)
    with pytest.raises(CallFailed, match=r"no reply within 0\.1 s"):
        await http.call(outgoing(f"{url}/hang", timeout=0.1), yes)
    call = asyncio.ensure_future(http.call(outgoing(f"{url}/hang"), yes))
    await until(lambda: server.accepted == 7)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await until(lambda: server.ended == 7)


async def refused(http: HttpTransport) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{sock.getsockname()[1]}"
        with pytest.raises(NotSent, match=f"^connection refused: {place}$"):
            await http.call(outgoing(f"http://{place}/"), Gate())


async def secure(certificates) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    server = Participant()
    await server.start(None, tls=tls)
    good, bad = (
        HttpTransport(allow=CallbackPolicy(None), ssl_context=ssl.create_default_context(cafile=certificates / name))
        for name in ("ca.pem", "other.pem")
    )
    for _ in range(2):
        assert (await good.call(outgoing(server.url), yes)).body == b"hi"
    with pytest.raises(NotSent, match="TLS certificate refused"):
        await bad.call(outgoing(server.url), Gate())
    await good.close()
    await bad.close()
    await server.stop()


def test_on_uvloop(certificates):
    async def scenario() -> None:
        http, server = HttpTransport(allow=CallbackPolicy(None)), Participant()
        try:
            await plain(http, server)
            await refused(http)
            await secure(certificates)
        finally:
            await http.close()
            await server.stop()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        uvloop.run(scenario())


@pytest.mark.parametrize("secure", [False, True])
def test_a_dial_cancelled_at_any_step_is_accounted_for(certificates, secure):
    """uvloop closes what it has connected for a caller that was cancelled, and does not tell its protocol."""
    tls, trust = None, None
    if secure:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificates / "server.pem", certificates / "server.key")
        trust = ssl.create_default_context(cafile=certificates / "ca.pem")

    async def scenario() -> None:
        server = Participant()
        await server.start(None, tls=tls)
        try:
            for steps in range(40):
                http = HttpTransport(allow=CallbackPolicy(None), ssl_context=trust)
                call = asyncio.ensure_future(http.call(outgoing(server.url), yes))
                for _ in range(steps):
                    await asyncio.sleep(0)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
                async with asyncio.timeout(20):
                    await http.close()
        finally:
            await server.stop()

    uvloop.run(scenario())
