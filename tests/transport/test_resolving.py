"""Names: looked up once, tried in order, and judged by the address they lead to."""

from __future__ import annotations

import asyncio
import time

import pytest
from raw_participants import Gate, outgoing, until, yes

from dtm.core.transport.allow import CallbackPolicy
from dtm.core.transport.base import NotSent
from dtm.core.transport.resolver import Resolver


@pytest.mark.gen_test
async def test_all_addresses_are_tried_in_order(participant, transport, names):
    server = await participant(host="::1")
    names["service.test"] = ["127.0.0.1", "::1", "127.0.0.1"]
    http = transport()
    assert (await http.call(outgoing(f"http://Service.Test:{server.port}/"), yes)).body == b"hi"
    assert f"\r\nHost: service.test:{server.port}\r\n".encode() in server.requests[0]


@pytest.mark.gen_test
async def test_an_answer_is_good_for_some_seconds(names):
    names["a.test"] = ["127.0.0.1"]
    resolver = Resolver(ttl=0.05, size=2)
    assert await asyncio.gather(*(resolver.addresses("a.test") for _ in range(5))) == [("127.0.0.1",)] * 5
    assert await resolver.addresses("a.test") == ("127.0.0.1",)
    assert names.asked == ["a.test"]
    await asyncio.sleep(0.06)
    names["a.test"] = ["127.0.0.2"]
    assert await resolver.addresses("a.test") == ("127.0.0.2",)
    resolver.close()


@pytest.mark.gen_test
async def test_only_so_many_answers_are_kept(names):
    resolver = Resolver(size=2)
    names |= {f"{letter}.test": ["127.0.0.1"] for letter in "abc"}
    for name in ("a.test", "b.test", "a.test", "c.test", "a.test", "b.test"):
        await resolver.addresses(name)
    assert names.asked == ["a.test", "b.test", "c.test", "b.test"]
    resolver.close()
    resolver.close()


@pytest.mark.gen_test
async def test_unknown_name(transport, names):
    gate = Gate()
    http = transport()
    for _ in range(2):
        with pytest.raises(NotSent, match=r"^cannot resolve nobody\.test: Name or service not known$"):
            await http.call(outgoing("http://nobody.test/"), gate)
    assert gate.asked == 0
    assert len(names.asked) == 2


@pytest.mark.gen_test
async def test_a_name_server_that_hangs(participant, transport, names, monkeypatch):
    server = await participant()

    def hang(*args, **kwargs):
        time.sleep(0.4)
        raise OSError("too late")

    monkeypatch.setattr("socket.getaddrinfo", hang)
    http = transport()
    slow = asyncio.ensure_future(http.call(outgoing("http://slow.test/", timeout=0.1), yes))
    assert (await http.call(outgoing(server.url), yes)).body == b"hi"
    with pytest.raises(NotSent, match=r"^no connection within 0\.1 s: slow\.test:80$"):
        await slow


@pytest.mark.gen_test
async def test_closing_while_a_name_is_looked_up(transport, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *args, **kwargs: time.sleep(0.1))
    http = transport()
    call = asyncio.ensure_future(http.call(outgoing("http://slow.test/"), yes))
    await asyncio.sleep(0.02)
    await http.close()
    with pytest.raises(NotSent, match="stopping"):
        await call


@pytest.mark.gen_test
async def test_addresses_that_are_refused(participant, transport, names):
    server = await participant()
    names |= {
        "inside.test": ["127.0.0.1"],
        "metadata.test": ["169.254.169.254"],
        "mapped.test": ["::ffff:169.254.169.254", "fe80::1"],
        "both.test": ["169.254.169.254", "127.0.0.1"],
    }
    everything = transport()
    named = transport(allow=CallbackPolicy(["*"]))
    elsewhere = transport(allow=CallbackPolicy(["10.0.0.0/8", "other.test"]))
    refused = [
        (everything, "metadata.test"),
        (everything, "mapped.test"),
        (everything, "169.254.169.254"),
        (everything, "[::ffff:a9fe:a9fe]"),
        (everything, "0.0.0.0"),
        (named, "metadata.test"),
        (elsewhere, "inside.test"),
        (elsewhere, "127.0.0.1"),
    ]
    gate = Gate()
    for http, host in refused:
        with pytest.raises(NotSent, match=r"is not allowed by callbacks\.allow$") as caught:
            await http.call(outgoing(f"http://{host}:{server.port}/", timeout=0.5), gate)
        assert str(caught.value).startswith(f"calling {host}:{server.port}")
    assert (gate.asked, server.accepted) == (0, 0)
    for http, host in ((everything, "both.test"), (named, "both.test"), (named, "127.0.0.1")):
        await http.call(outgoing(f"http://{host}:{server.port}/"), yes)
    await until(lambda: server.accepted == 3)


@pytest.mark.gen_test
async def test_a_number_as_name_leads_to_no_metadata_service(transport):
    """The system's resolver reads 2852039166 as 169.254.169.254: what counts is where it leads."""
    with pytest.raises(NotSent, match=r"2852039166:80 \(169\.254\.169\.254\) is not allowed"):
        await transport().call(outgoing("http://2852039166/"), yes)
