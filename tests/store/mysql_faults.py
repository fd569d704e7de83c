"""What the tests of faults share: markers of statements, strangers, made-up errors."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from dataclasses import replace

from store_values import owned

from dtm.core.model import Status
from dtm.core.store.base import Save
from tests.support.mariadb import USER

INSERT, UPDATE, SELECT = b"INSERT INTO dtm_transaction", b"SET updated_at =", b"SELECT id, gid"
CLAIM = b"t.found_due = found.due_at"


def refusal(code):
    """What the proxy sends in place of an answer: an error of the server's."""
    payload = b"\xff" + struct.pack("<H", code) + b"#HY000made up"
    return lambda answer: len(payload).to_bytes(3, "little") + b"\1" + payload


def saving(rows, **changes):
    return [Save(replace(tx, status=Status.ABORTING, **changes), tx.version) for tx in rows]


async def some_rows(store, number=5):
    return await asyncio.gather(*(store.insert(owned(store, f"g{i}")) for i in range(number)))


@contextlib.contextmanager
def transaction(mariadb, store, *statements):
    """A stranger's transaction in the store's database, held open; rolled back at the end."""
    with contextlib.closing(mariadb.connect(store.address.database)) as stranger:
        stranger.begin()
        for statement in statements:
            stranger.cursor().execute(statement)
        yield stranger
        stranger.rollback()


async def until(condition, within=5.0):
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


def waiting(mariadb, word):
    """The ids of connections whose running statement contains this word."""
    found = mariadb.run(f"SELECT id FROM information_schema.PROCESSLIST WHERE user = '{USER}' AND info LIKE '%{word}%'")
    return [row_id for (row_id,) in found]
