"""The embedded store's thread: jobs in turn, answers on the event loop, whatever became of who asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from dtm.core.store.sqlite_thread import Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker("test-worker")
    yield worker
    worker.stop()


def name_of_thread() -> str:
    return threading.current_thread().name


@pytest.mark.gen_test
async def test_jobs_are_done_in_turn_and_answered(worker):
    done: list[int] = []
    jobs = [worker.submit(done.append, number) for number in range(100)]
    assert await asyncio.gather(*(job.answer for job in jobs)) == [None] * 100
    assert done == list(range(100))
    assert await worker.submit(name_of_thread).answer == "test-worker"
    with pytest.raises(ZeroDivisionError):
        await worker.submit(divmod, 1, 0).answer
    assert await worker.submit(int, "ff", base=16).answer == 255


@pytest.mark.gen_test
async def test_what_has_not_begun_can_be_withdrawn(worker):
    begun, go_on, done = threading.Event(), threading.Event(), []
    held = worker.submit(lambda: begun.set() or go_on.wait(30))
    queued = worker.submit(done.append, "queued")
    assert begun.wait(30)
    assert not held.withdraw()
    assert queued.withdraw()
    assert not queued.withdraw()
    go_on.set()
    assert await held.answer
    assert await worker.submit(len, done).answer == 0
    assert not queued.answer.done()


@pytest.mark.gen_test
async def test_who_has_left_disturbs_nobody(worker):
    for call in (int, lambda: int("no number")):
        go_on = threading.Event()
        worker.submit(go_on.wait, 30)
        job = worker.submit(call)
        job.answer.cancel()
        go_on.set()
        assert await worker.submit(int, "7").answer == 7


def test_a_loop_that_has_ended_disturbs_nobody(worker):
    go_on = threading.Event()

    async def leave() -> None:
        worker.submit(go_on.wait, 30)

    async def come_back() -> str:
        return await worker.submit(name_of_thread).answer

    asyncio.run(leave())
    go_on.set()
    assert asyncio.run(come_back()) == "test-worker"
