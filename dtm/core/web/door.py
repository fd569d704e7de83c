"""The door of the API: which requests are inside, and whether more may come in."""

from __future__ import annotations

import asyncio


class Door:
    """Open until it is shut; `emptied` waits until everybody who is inside has been answered."""

    def __init__(self) -> None:
        self.open = True
        self._inside: set[object] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def inside(self) -> int:
        """How many requests have not been answered."""
        return len(self._inside)

    def shut(self) -> None:
        """Let nobody in any more: what kept connections still ask for is refused."""
        self.open = False

    def enter(self, request: object) -> None:
        """A request is begun."""
        self._inside.add(request)
        self._empty.clear()

    def leave(self, request: object) -> None:
        """It has been answered. Nothing happens when it never came in."""
        self._inside.discard(request)
        if not self._inside:
            self._empty.set()

    async def emptied(self, within: float) -> bool:
        """Whether nobody is inside any more, after at most `within` seconds."""
        try:
            async with asyncio.timeout(within):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True
