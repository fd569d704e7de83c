"""A TCP proxy in threads: what stands between a process and its database can stall, or hold one request back."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class ThreadedProxy:
    """Stands between a client and a server on loopback.

    `stall()`: nothing passes any more, either way, and nothing is closed, until `flow()`. `hold(marker)`: the next
    request in which these bytes stand is kept back, alone, until `let_go(marker)`.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self._flows = threading.Event()
        self._flows.set()
        self._awaited: set[bytes] = set()
        self._goes: dict[bytes, threading.Event] = {}
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def stall(self) -> None:
        """Let nothing pass."""
        self._flows.clear()

    def flow(self) -> None:
        """Let everything pass, what was kept back first."""
        self._flows.set()

    def hold(self, marker: bytes) -> None:
        """Keep the next such request back."""
        self._goes[marker] = threading.Event()
        self._awaited.add(marker)

    def holds(self, marker: bytes) -> bool:
        """Whether such a request has come."""
        return marker not in self._awaited

    def let_go(self, marker: bytes) -> None:
        """Let it go on."""
        self._awaited.discard(marker)
        self._goes[marker].set()

    def close(self) -> None:
        """Cut everything."""
        self._server.close()
        self.flow()
        for marker in list(self._goes):
            self.let_go(marker)
        with self._lock:
            for each in self._sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self.upstream))
                except OSError:
                    client.close()
                    continue
                with self._lock:
                    self._sockets |= {client, server}
                for there, back, asks in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass, args=(there, back, asks), daemon=True).start()

    def _keep(self, request: bytes) -> None:
        with self._lock:
            marker = next((each for each in self._awaited if each in request), None)
            self._awaited.discard(marker or b"")
        if marker is not None:
            self._goes[marker].wait()

    def _pass(self, source: socket.socket, sink: socket.socket, asks: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self._flows.wait()
                if asks:
                    self._keep(data)
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            if not asks:
                with self._lock:
                    self._sockets.discard(each)
                each.close()
