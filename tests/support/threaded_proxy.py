"""A TCP proxy in threads: what stands between a process and its database can stall, or hold one request back."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class ThreadedProxy:
    """Stands between a client and a server on loopback.

    `stall()`: nothing passes any more, either way, and nothing is closed, until `flow()`. `hold(marker)`: the next
    request in which these bytes stand is kept back, alone, until `let_go()`; `held` is set once it is there.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.held = threading.Event()
        self._marker = b""
        self._flows, self._goes = threading.Event(), threading.Event()
        self._flows.set()
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
        self.held.clear()
        self._goes.clear()
        self._marker = marker

    def let_go(self) -> None:
        """Let what is held go on."""
        self._marker = b""
        self._goes.set()

    def close(self) -> None:
        """Cut everything."""
        self._server.close()
        self.flow()
        self.let_go()
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

    def _pass(self, source: socket.socket, sink: socket.socket, asks: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self._flows.wait()
                if asks and self._marker and self._marker in data:
                    self._marker = b""
                    self.held.set()
                    self._goes.wait()
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            if not asks:
                with self._lock:
                    self._sockets.discard(each)
                each.close()
