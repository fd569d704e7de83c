"""Participants, transports and certificates for the tests of this folder."""

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
from pathlib import Path

import pytest
from raw_participants import Participant

from dtm.core.transport.allow import CallbackPolicy
from dtm.core.transport.http import HttpTransport


@pytest.fixture
def participant(io_loop):
    """Start participants; all are stopped at the end."""
    started: list[Participant] = []

    async def start(script=None, **options) -> Participant:
        one = Participant()
        started.append(one)
        await one.start(script, **options)
        return one

    yield start

    async def stop() -> None:
        for one in started:
            await one.stop()

    io_loop.run_sync(stop)


@pytest.fixture
def transport(io_loop):
    """A transport that may call anything but link-local; nothing of it is left over."""
    made: list[HttpTransport] = []

    def make(**options) -> HttpTransport:
        options.setdefault("allow", CallbackPolicy(None))
        made.append(HttpTransport(**options))
        return made[-1]

    yield make

    async def close() -> list[str]:
        for one in made:
            await one.close()
            await one.close()
        return [str(task) for task in asyncio.all_tasks() if "dtm/core" in str(task)]

    assert io_loop.run_sync(close) == []
    gc.collect()  # a socket left open would complain now


class Names(dict[str, list[str]]):
    """name -> addresses, and the names that were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []


@pytest.fixture
def names(monkeypatch):
    """What the system's resolver knows."""

    known = Names()

    def getaddrinfo(host, port, *args, **kwargs):
        known.asked.append(host)
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(0, socket.SOCK_STREAM, 6, "", (address, 0)) for address in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


@pytest.fixture(scope="session")
def certificates(tmp_path_factory) -> Path:
    """`ca.pem`, and `server.pem`, `server.key` for localhost, 127.0.0.1 and ::1; `other.pem` is an unrelated CA."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    ca = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign")
    for name in ("ca", "other"):
        new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name} of a test")
        openssl(*new, *ca, "-keyout", f"{name}.key", "-out", f"{name}.pem")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-keyout", "server.key", "-out", "server.csr")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\n")
    signed = ("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
    openssl(*signed, "-extfile", "names", "-out", "server.pem")
    return folder
