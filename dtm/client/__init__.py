"""dtm.client: submit distributed transactions, and take part in them.

It speaks DTM's HTTP contract and knows nothing of the coordinator's code: any server that speaks it will do.
"""

from dtm.client.aio import AsyncClient, AsyncMsg, AsyncNestedTcc, AsyncSaga, AsyncTcc
from dtm.client.answers import Transaction
from dtm.client.barrier import Barrier
from dtm.client.errors import (
    Conflict,
    DtmError,
    Duplicated,
    Failure,
    Fault,
    InvalidRequest,
    NotFound,
    Ongoing,
    OutcomeUnknown,
    ParticipantError,
    Unauthorized,
    Unreachable,
)
from dtm.client.flows import Reply
from dtm.client.gids import new_gid
from dtm.client.options import Options
from dtm.client.sync import Client, Msg, NestedTcc, Saga, Tcc

__all__ = [
    "AsyncClient",
    "AsyncMsg",
    "AsyncNestedTcc",
    "AsyncSaga",
    "AsyncTcc",
    "Barrier",
    "Client",
    "Conflict",
    "DtmError",
    "Duplicated",
    "Failure",
    "Fault",
    "InvalidRequest",
    "Msg",
    "NestedTcc",
    "NotFound",
    "Ongoing",
    "Options",
    "OutcomeUnknown",
    "ParticipantError",
    "Reply",
    "Saga",
    "Tcc",
    "Transaction",
    "Unauthorized",
    "Unreachable",
    "new_gid",
]
