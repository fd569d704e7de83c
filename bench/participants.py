"""The participants: nginx that answers 200, and one that hangs."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from pathlib import Path

from bench.processes import Process

NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 3600;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200; }} }}
}}
"""
HELD = 3.0
"""Seconds for which the hanging participant holds each call; just below, in fact, for a call times out after 3 s."""


def nginx(folder: Path) -> tuple[Process, str]:
    """nginx in one process, and its URL."""
    port = free_port()
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(folder=folder, port=port), encoding="ascii")
    process = Process(["nginx", "-e", f"{folder}/nginx.log", "-c", str(file)], folder)
    wait_for_port(port)
    return process, f"http://127.0.0.1:{port}"


def hanging(folder: Path) -> tuple[Process, str]:
    """The participant that hangs, and its URL."""
    port = free_port()
    process = Process([sys.executable, "-m", "bench.participants", str(port)], Path(__file__).parents[1], "hangs")
    return process, f"http://127.0.0.1:{port}"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int) -> None:
    """Return when somebody listens."""
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"bench: nobody listens on port {port}")


async def _hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            await asyncio.sleep(HELD - 0.1)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _serve(port: int) -> None:
    server = await asyncio.start_server(_hold, "127.0.0.1", port)
    sys.stdout.write("hangs\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
