"""The barrier: what a participant does to its database happens at most once, and never after it was undone.

    barrier = Barrier.from_request(request)
    barrier.call(connection, lambda connection: ...)

Its table is made by `dtm barrier create`, `create_table(connection)`, or the SQL files beside this one.
"""

from dtm.client.barrier.guards import Barrier, Guard
from dtm.client.barrier.upkeep import create_table, purge

__all__ = ["Barrier", "Guard", "create_table", "purge"]
