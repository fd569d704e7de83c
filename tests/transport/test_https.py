"""TLS: verified, by name and by authority, or not called."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from raw_participants import Gate, ok, outgoing, read_request, until, yes

from dtm.core.transport.base import CallFailed, NotSent


@pytest.fixture
def server_tls(certificates):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    return context


@pytest.fixture
def trusting(certificates):
    return ssl.create_default_context(cafile=str(certificates / "ca.pem"))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.gen_test
async def test_trusted(participant, transport, server_tls, trusting, host):
    server = await participant(host=host, tls=server_tls)
    http = transport(ssl_context=trusting)
    for _ in range(3):
        assert (await http.call(outgoing(server.url, b"x" * 300_000), yes)).body == b"hi"
    assert server.accepted == 1
    assert http.host_of(server.url).startswith("https://")


@pytest.mark.gen_test
async def test_the_name_is_verified(participant, transport, server_tls, trusting, names):
    server = await participant(tls=server_tls)
    names |= {"localhost": ["127.0.0.1"], "localhost.": ["127.0.0.1"], "imposter.test": ["127.0.0.1"]}
    http = transport(ssl_context=trusting)
    for name in ("localhost", "localhost."):
        assert (await http.call(outgoing(f"https://{name}:{server.port}/"), yes)).body == b"hi"
    gate = Gate()
    with pytest.raises(NotSent, match=r"^TLS certificate refused \(Hostname mismatch.*\): imposter\.test:\d+$"):
        await http.call(outgoing(f"https://imposter.test:{server.port}/"), gate)
    assert gate.asked == 0


@pytest.mark.parametrize("authority", ["other.pem", None])
@pytest.mark.gen_test
async def test_untrusted(participant, transport, server_tls, certificates, authority):
    server = await participant(tls=server_tls)
    context = authority and ssl.create_default_context(cafile=str(certificates / authority))
    gate = Gate()
    with pytest.raises(NotSent, match=r"^TLS certificate refused \(.*certificate\): 127\.0\.0\.1:\d+$"):
        await transport(ssl_context=context).call(outgoing(server.url), gate)
    assert gate.asked == 0
    assert server.requests == []


@pytest.mark.gen_test
async def test_authorities_from_the_environment(participant, transport, server_tls, certificates, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    server = await participant(tls=server_tls)
    assert (await transport().call(outgoing(server.url), yes)).body == b"hi"


@pytest.mark.gen_test
async def test_participant_that_speaks_no_tls(participant, transport, trusting):
    async def script(reader, writer):
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    server = await participant(script)
    with pytest.raises(NotSent, match=r"^TLS failed \(WRONG_VERSION_NUMBER\): "):
        await transport(ssl_context=trusting).call(outgoing(f"https://{server.place}/"), yes)


@pytest.mark.gen_test
async def test_handshake_that_hangs_or_breaks(participant, transport, trusting):
    async def hang(reader, writer):
        await reader.read()
        await asyncio.sleep(60)

    async def hang_up(reader, writer):
        await reader.read(10)

    http = transport(ssl_context=trusting)
    server = await participant(hang)
    with pytest.raises(NotSent, match=r"^no connection within 0\.1 s"):
        await http.call(outgoing(f"https://{server.place}/", timeout=0.1), yes)
    call = asyncio.ensure_future(http.call(outgoing(f"https://{server.place}/", timeout=60), yes))
    await until(lambda: server.accepted == 2)
    await http.close()
    with pytest.raises(NotSent, match="stopping"):
        await call
    broken = await participant(hang_up)
    with pytest.raises(NotSent, match=f": {broken.place}$"):
        await transport(ssl_context=trusting).call(outgoing(f"https://{broken.place}/"), yes)


@pytest.mark.gen_test
async def test_troubles_over_tls(participant, transport, server_tls, trusting):
    async def script(reader, writer):
        await read_request(reader)
        writer.write(ok())
        request = await read_request(reader)
        if b"/hang" in request:
            await reader.read()

    server = await participant(script, tls=server_tls)
    http = transport(ssl_context=trusting)
    await http.call(outgoing(server.url), yes)
    gate = Gate(True, True)
    assert (await http.call(outgoing(server.url), gate)).body == b"hi"
    assert (gate.asked, server.accepted) == (2, 2)
    with pytest.raises(CallFailed, match="no reply within"):
        await http.call(outgoing(f"https://{server.place}/hang", timeout=0.1), yes)
    await until(lambda: server.ended == 2)
