"""A thread of the embedded store, which does one job after the other.

An executor would do. But it has two futures, a condition and some locks for each job, on which both threads meet, and a
meeting costs waits for the interpreter's lock: one queue and one future take two thirds of its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Job(Generic[T]):
    """One call that a thread is to make. `answer`, on the event loop: what it returned or raised."""

    __slots__ = ("_call", "_loop", "answer")

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = [call]
        self._loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[T] = self._loop.create_future()

    def withdraw(self) -> bool:
        """Have it not done. False: it has begun, or is done."""
        return self._take() is not None

    def do(self) -> None:
        """Make the call, in the thread, unless it was withdrawn."""
        call = self._take()
        if call is None:
            return
        try:
            tell = partial(self._tell, self.answer.set_result, call())
        except BaseException as error:
            tell = partial(self._tell, self.answer.set_exception, error)
        try:
            self._loop.call_soon_threadsafe(tell)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    def _take(self) -> Callable[[], T] | None:
        """The call, for the first who asks: the thread, or who withdraws it."""
        try:
            return self._call.pop()
        except IndexError:
            return None

    def _tell(self, how: Callable[[Any], None], what: object) -> None:
        if not self.answer.done():  # else whoever waited has gone
            how(what)


class Worker:
    """A thread, from now until `stop`; it does not keep the process alive."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Job[Any] | None] = SimpleQueue()
        Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Job[T]:
        """Have a call made, after all that were asked for before. To be used on the event loop."""
        job: Job[T] = Job(partial(call, *args, **kwargs))
        self._jobs.put(job)
        return job

    def stop(self) -> None:
        """End the thread when all is done that was asked for."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.do()
            del job  # and all that it holds, rather than keep it until the next one comes
