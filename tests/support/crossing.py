"""Where all that a coordinator exchanges with database and participants passes; at a chosen moment it is killed."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence


class Crossing:
    """A TCP proxy for several servers on loopback, in a thread of its own; `ports` lead to `upstreams`.

    While it is watched it counts moments: one before a request passes, one before its answer does (so that the request
    has had its effect), one after it. A message is what one read brings: our requests and answers are small.
    """

    def __init__(self, upstreams: Sequence[int]) -> None:
        self.ports: list[int] = []
        self.moments = 0
        self._at = 0
        self._strike: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(upstreams, ready), daemon=True)
        self._thread.start()
        ready.wait()

    def watch(self, at: int, strike: Callable[[], None]) -> None:
        """Count from now on, and call `strike` at moment number `at`: what is open is cut then, and nothing counted."""
        with self._lock:
            self.moments, self._at, self._strike = 0, at, strike

    def rest(self) -> bool:
        """Count no longer; whether the moment had come."""
        with self._lock:
            struck, self._strike = self._strike is None, None
            return struck

    def close(self) -> None:
        """Cut everything."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _run(self, upstreams: Sequence[int], ready: threading.Event) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._stand(upstreams, ready))

    async def _stand(self, upstreams: Sequence[int], ready: threading.Event) -> None:
        self._over = asyncio.Event()
        servers = [await self._listen(upstream) for upstream in upstreams]
        self.ports = [server.sockets[0].getsockname()[1] for server in servers]
        ready.set()
        await self._over.wait()
        for server in servers:
            server.close()
        self._cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self, upstream: int) -> asyncio.Server:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection("127.0.0.1", upstream)
            ends = {writer, back}
            self._open |= ends
            for task in (self._requests(reader, back), self._answers(there, writer)):
                self._keep(asyncio.create_task(task), ends)

        return await asyncio.start_server(serve, "127.0.0.1", 0)

    def _keep(self, task: asyncio.Task[None], ends: set[asyncio.StreamWriter]) -> None:
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._open.difference_update(ends)
            for end in ends:
                end.close()

        task.add_done_callback(done)

    async def _requests(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while (data := await reader.read(1 << 20)) and not self._moment():
                back.write(data)

    async def _answers(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while (data := await there.read(1 << 20)) and not self._moment():
                writer.write(data)
                await writer.drain()
                if self._moment():
                    return

    def _moment(self) -> bool:
        """Count one; whether this was the one."""
        with self._lock:
            if self._strike is None:
                return False
            self.moments += 1
            if self.moments != self._at:
                return False
            self._strike()
            self._strike = None
        self._cut()
        return True

    def _cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()
