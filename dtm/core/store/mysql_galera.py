"""What the store says to a server that is one of a Galera cluster (docs/galera.md).

The servers of a cluster agree on the order of all writes, and each applies them a little later: a server may be asked
for a row that another one has confirmed, and not have it yet. Two servers do not see each other's locks: who comes
second hears of a deadlock (1213) at the end of a statement of which nothing was done. So compare-and-sets and claims
hold as they are; only reads have to wait until the server has caught up.
"""

from __future__ import annotations

from collections.abc import Sequence

from dtm.core.store.mysql_address import Address
from dtm.core.store.mysql_pool import connect
from dtm.core.store.mysql_sql import SESSION

IS_MEMBER = "SHOW VARIABLES LIKE 'wsrep_on'"
CAUGHT_UP = "SET SESSION wsrep_sync_wait = 1"
"""Reads see every write that any server has confirmed before they began."""


async def session(address: Address, within: float) -> Sequence[str]:
    """What connections to this server are to say first. StatementError."""
    server = await connect(address, within, into_database=False)
    try:
        answer = await server.run(IS_MEMBER, within)
    finally:
        await server.hang_up()
    return (*SESSION, CAUGHT_UP) if [value for _, value in answer.rows] == ["ON"] else SESSION
