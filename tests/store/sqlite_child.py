"""A process of its own, for tests of the SQLite store: `sqlite_child.py MODE FILE`; tells on stdout what it did."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from pathlib import Path

from store_values import finished, free, owned

from dtm.core.errors import DtmError, OutcomeUnknown, StartupError
from dtm.core.model import Status
from dtm.core.store.sqlite import SqliteStore
from dtm.core.store.sqlite_file import migrations

NOBODY = 65534


def say(*words):
    print(*words, flush=True)


async def insert_for_ever(path):
    """Insert, save every other row, and tell each write once it is acknowledged."""
    store = SqliteStore(path)
    await store.open()

    async def client(name):
        for number in range(1_000_000):
            tx = await store.insert(owned(store, f"{name}-{number}"))
            say("inserted", tx.gid)
            if number % 2:
                await store.save(finished(tx, store.now()))
                say("saved", tx.gid)

    await asyncio.gather(*(client(f"client{i}") for i in range(20)))


async def open_as_nobody(path):
    """Open as an ordinary user, for root may write everything."""
    migrations()  # what it imports may be out of that user's reach
    if os.geteuid() == 0:
        os.setuid(NOBODY)
    await try_to_open(path)


async def try_to_open(path):
    """Open, and tell how that went."""
    store = SqliteStore(path)
    try:
        await store.open()
    except StartupError as error:
        say("refused", error)
    else:
        say("opened")
        await store.close()


async def fill_the_disk(path):
    """Insert until the file may not grow any more, and tell how the store behaves from then on."""
    store = SqliteStore(path)
    await store.open()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    troubles = set()
    for number in range(100):
        batch = [free(store, f"{number}-{i}", custom_data="x" * 1000) for i in range(20)]
        results = await asyncio.gather(*(store.insert(tx) for tx in batch), return_exceptions=True)
        for tx, result in zip(batch, results, strict=True):
            if isinstance(result, DtmError):
                troubles.add(type(result))
            else:
                say("inserted", tx.gid)
        if troubles:
            break
    say("trouble", *sorted(trouble.__name__ for trouble in troubles))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))  # room again: the store takes no writes all the same
    first = await store.load("0-0")
    say("read", first.gid)
    writes = {
        "insert": store.insert(free(store, "late")),
        "save": store.save(finished(first, 1, Status.SUCCEED)),
        "claim": store.claim_due("me", 1, 1.0),
        "ping": store.ping(),
    }
    for name, write in writes.items():
        try:
            await write
        except DtmError as error:
            say(name, type(error).__name__)
    assert OutcomeUnknown in troubles
    await store.close()


MODES = {"insert": insert_for_ever, "open": try_to_open, "open-as-nobody": open_as_nobody, "full": fill_the_disk}

if __name__ == "__main__":
    asyncio.run(MODES[sys.argv[1]](Path(sys.argv[2])))
