"""Request smuggling: behind nginx and haproxy, which share connections among clients, each hears its own answer."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/log; events {{}}
http {{
  access_log off; upstream ours {{ server 127.0.0.1:{to}; keepalive 1; }}
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://ours; proxy_http_version 1.1; proxy_set_header Connection ''; }}
  }}
}}
"""
HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
listen ours
  bind 127.0.0.1:{port}
  http-reuse always
  server one 127.0.0.1:{to}
"""
PROXIES = {
    "nginx": (NGINX, ["nginx", "-e", "{folder}/log", "-c", "{file}"]),
    "haproxy": (HAPROXY, ["haproxy", "-db", "-f", "{file}"]),
}
FRAMINGS = [
    b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    b"Content-Length: 4\r\nContent-Length: 5\r\n",
    b"Content-Length: +4\r\n",
    b"Content-Length : 4\r\n",
    b"X: a\r\n Transfer-Encoding: chunked\r\n",
    b"X: a\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: \x0bchunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
]
SMUGGLED = b"GET /api/ping HTTP/1.1\r\nHost: x\r\n\r\n"
NEXT = b'POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 8\r\n\r\n{"k":42}'


@contextmanager
def proxy(name: str, to: int, folder: Path) -> Iterator[int]:
    """A proxy in front of this port; its own port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text, command = PROXIES[name]
    file = folder / "conf"
    file.write_text(text.format(folder=folder, to=to, port=port))
    assert shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin"), f"{name} is missing: apt-get install {name}"
    process = subprocess.Popen([part.format(folder=folder, file=file) for part in command])
    try:
        yield port
    finally:
        process.terminate()
        process.wait(10)


async def said(port: int, data: bytes, within: float) -> bytes:
    """What comes back until the connection ends, or nothing more comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    heard = b""
    try:
        while part := await asyncio.wait_for(reader.read(65536), within):
            heard += part
    except (TimeoutError, ConnectionError):
        pass
    writer.close()
    return heard


async def up(port: int) -> None:
    """Return when the proxy passes requests on."""
    for _ in range(200):
        try:
            if b'{"body":{"k":42}}' in await said(port, NEXT, 10):
                return
        except OSError:
            await asyncio.sleep(0.05)
    raise AssertionError("the proxy does not answer")


@pytest.mark.gen_test
@pytest.mark.parametrize("name", sorted(PROXIES))
async def test_each_client_hears_its_own_answer(running, name: str, tmp_path: Path) -> None:
    async with running(body_timeout=0.2) as server:
        with proxy(name, server.port, tmp_path) as port:
            await up(port)
            for framing in FRAMINGS:
                head = b"POST /echo HTTP/1.1\r\nHost: x\r\n" + framing
                heard = await said(port, head + b"\r\n0\r\n\r\n" + SMUGGLED, 0.3)
                assert heard.count(b"HTTP/1.1 ") <= 2, framing
                assert b'{"body":{"k":42}}' in await said(port, NEXT, 10), framing
