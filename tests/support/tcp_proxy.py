"""A TCP proxy in the test's own loop, which meddles with one request when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Trouble:
    """What befalls the next `times` requests in which `marker` stands.

    `before`: it happens instead of forwarding the request. `after`: the request is forwarded, and it happens instead of
    delivering the answer. `at once`: the request is forwarded, and it happens without waiting for the answer. It: the
    connection is cut, or `reply(answer)` is sent in the answer's place.
    """

    marker: bytes
    when: str
    times: int = 1
    reply: Callable[[bytes], bytes] | None = None


@dataclass
class TcpProxy:
    """Stands between a client and a server on loopback. `stalled`: nothing passes any more, and nothing is closed."""

    upstream: int
    troubles: list[Trouble] = field(default_factory=list)
    requests: int = 0
    connections: int = 0
    stalled: bool = False

    async def start(self) -> TcpProxy:
        """Listen; `port` is good from then on."""
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Cut everything."""
        self._server.close()
        for writer in self._open:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._open), return_exceptions=True)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there, back = await asyncio.open_connection("127.0.0.1", self.upstream)
        self._open |= {writer, back}
        answers = asyncio.create_task(self._pass(there, writer))
        self._tasks.add(answers)
        try:
            await self._requests(reader, writer, there, back, answers)
        finally:
            answers.cancel()
            writer.close()

    async def _requests(self, reader, writer, there, back, answers) -> None:
        while request := await reader.read(1 << 20):
            self.requests += 1
            trouble = self._trouble_of(request)
            if self.stalled:
                continue
            if trouble is None or trouble.when != "before":
                if trouble is not None:
                    answers.cancel()
                    await asyncio.gather(answers, return_exceptions=True)
                back.write(request)
            if trouble is None:
                continue
            answer = await there.read(1 << 20) if trouble.when == "after" else b""
            if trouble.reply is None:
                if trouble.when == "before":
                    back.close()
                return
            writer.write(trouble.reply(answer))
            if trouble.when == "after":
                answers = asyncio.create_task(self._pass(there, writer))
                self._tasks.add(answers)
        back.close()

    def _trouble_of(self, request: bytes) -> Trouble | None:
        for trouble in self.troubles:
            if trouble.times and trouble.marker in request:
                trouble.times -= 1
                return trouble
        return None

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 20):
            if not self.stalled:
                writer.write(data)
        writer.close()
