"""The statements for MySQL and MariaDB, whole, with their values in them (`mysql_literals`).

Times are UTC milliseconds made of UTC_TIMESTAMP, which no session's time zone touches. `offset` is `clock_offset` in
milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dtm.core.model import Status, Transaction
from dtm.core.store.base import QUARANTINE, TAG_BITS, Filter
from dtm.core.store.codec import COLUMNS, FIRST_FINAL, STATUS_CODE
from dtm.core.store.group_commit import Insert, Update
from dtm.core.store.mysql_literals import blob, name, text, utf8

# ruff: noqa: S608 - every value goes through `text`, `blob` or the format `:d`

LOCK_WAIT_SECONDS = 2
SESSION = (
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', autocommit = 1,"
    f" innodb_lock_wait_timeout = {LOCK_WAIT_SECONDS}, lock_wait_timeout = {LOCK_WAIT_SECONDS}",
)
"""What every connection says first. autocommit again: a server's init_connect may have switched it off unseen."""

_NOW_US = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
NOW = f"{_NOW_US} DIV 1000"
"""The database's time in milliseconds."""

# Indexes are forced wherever rows get locked: left to itself, the planner scans a table that it believes small, and so
# locks, or waits for, rows that the statement does not speak of.
_BY_ID = "dtm_transaction FORCE INDEX (PRIMARY)"
_BY_GID = "dtm_transaction FORCE INDEX (dtm_transaction_gid)"
_BY_DUE = "dtm_transaction FORCE INDEX (dtm_transaction_due)"
_BY_FINISHED = "dtm_transaction FORCE INDEX (dtm_transaction_finished)"
_ITS_ROW = "STRAIGHT_JOIN dtm_transaction AS t FORCE INDEX (PRIMARY) ON t.id = found.id"

NEVER = 2**63 - 1
"""A time that is none: rows that get a time, or lose it, keep their length, and so are overwritten in place."""

# `doubt`: bit 0 is the mark, bit 1 what the last claim found.
_READ = {"doubt": "doubt & 1", "due_at": f"NULLIF(due_at, {NEVER})", "finished_at": f"NULLIF(finished_at, {NEVER})"}
_COLUMNS = ", ".join(_READ.get(column, column) for column in COLUMNS)

ROOM, ROOM_PER_BRANCH, ROOM_PER_CALL = 30, 2, 9
"""Bytes that a state gets at least: as many as it has when all has gone well, with one call of each branch_id, each
within a second.
"""

LOOK = f"SELECT {_NOW_US}, @@max_allowed_packet"
"""The database's time in microseconds, and the longest statement in bytes."""


def moment(time: int | None) -> str:
    """A time, or none."""
    return f"{NEVER if time is None else time:d}"


def inserts(items: Iterable[Insert]) -> str:
    """New rows; where gid or id exists already, nothing.

    They are to come in the order of their ids, so that pages fill up and are not split. Nodes that insert the same gids
    at the same time may so meet a deadlock, and one of them tries again.
    """
    rows = ", ".join([_row(item) for item in items])
    return f"INSERT INTO dtm_transaction ({_INSERTED}) VALUES {rows} ON DUPLICATE KEY UPDATE id = id"


_INSERTED = ", ".join(COLUMNS)


def _row(item: Insert) -> str:
    tx = item.tx
    return (
        f"({tx.id:d}, {blob(utf8(tx.gid))}, {name(tx.trans_type)}, {name(tx.protocol_version)}, "
        f"{STATUS_CODE[tx.status]:d}, {tx.version:d}, {text(tx.owner)}, {tx.doubt:d}, {moment(tx.due_at)}, "
        f"{tx.created_at:d}, {tx.updated_at:d}, {moment(tx.finished_at)}, {text(item.request)}, "
        f"{_state(item.state, tx)})"
    )


def _state(document: bytes, tx: Transaction) -> str:
    """The state document, with spaces behind it: what it grows by on the usual way must not make the row longer."""
    calls = len({branch.branch_id for branch in tx.branches})
    return text(document.ljust(ROOM + ROOM_PER_BRANCH * len(tx.branches) + ROOM_PER_CALL * calls))


def updates(items: Sequence[Update], offset: int) -> str:
    """Compare-and-sets of several rows: each column where it is to change, to the row's own value."""
    saves = [item.change for item in items]
    rows = [save.tx for save in saves]
    ids = [f"{tx.id:d}" for tx in rows]
    holds = [save.hold for save in saves]
    columns: dict[str, list[str | None]] = {
        "status": [f"{STATUS_CODE[tx.status]:d}" for tx in rows],
        "version": [f"{item.version:d}" for item in items],
        "finished_at": [moment(tx.finished_at) for tx in rows],
        "state": [_state(item.state, tx) for item, tx in zip(items, rows, strict=True)],
        "request": [None if item.request is None else text(item.request) for item in items],
        "doubt": [None if save.doubt is None else f"{save.doubt:d}" for save in saves],
        "owner": [None if hold is None else text(hold.owner) for hold in holds],
        "due_at": [None if hold is None else moment(hold.due_at) for hold in holds],
    }
    changes = "".join([_change(column, ids, values) for column, values in columns.items()])
    versions = ", ".join([f"({save.tx.id:d}, {save.expect:d})" for save in saves])
    return f"""
        UPDATE {_BY_ID} SET updated_at = {NOW} + {offset:d}{changes}
        WHERE id IN ({", ".join(ids)}) AND (id, version) IN ({versions})"""


def _change(column: str, ids: Sequence[str], values: Sequence[str | None]) -> str:
    """An assignment behind others; a row whose value is None keeps what it has."""
    first = values[0]
    if values.count(first) == len(values):
        return "" if first is None else f", {column} = {first}"
    pairs = zip(ids, values, strict=True)
    cases = " ".join([f"WHEN {row_id} THEN {value}" for row_id, value in pairs if value is not None])
    return f", {column} = CASE id {cases} ELSE {column} END"


def ids_of_gids(gids: Iterable[str]) -> str:
    """gid, id and version of rows."""
    return f"SELECT gid, id, version FROM dtm_transaction WHERE gid IN {_list(blob(utf8(gid)) for gid in gids)}"


def versions(ids: Iterable[int]) -> str:
    """id and version of rows."""
    return f"SELECT id, version FROM dtm_transaction WHERE id IN {_list(ids)}"


def unlocked(ids: Iterable[int]) -> str:
    """The ids of those rows that nobody holds a lock on. The locks it takes end with it."""
    return f"SELECT id FROM {_BY_ID} WHERE id IN {_list(ids)} FOR UPDATE SKIP LOCKED"


def loads(gids: Iterable[str]) -> str:
    """The rows of these gids, in the order of COLUMNS."""
    return f"SELECT {_COLUMNS} FROM {_BY_GID} WHERE gid IN {_list(blob(utf8(gid)) for gid in gids)}"


def claim(owner: str, limit: int, *, horizon: int, lease: int, offset: int, tag: int) -> str:
    """Take over what is due within `horizon` ms, for `lease` ms; the answer's insert_id is the lease's end.

    What was found is read from the inner query, for in an update of a join nothing says which assignment comes first.
    """
    return f"""
        UPDATE (
            SELECT id, due_at, doubt & 1 AS doubt FROM {_BY_DUE} WHERE due_at <= {NOW} + {horizon + offset}
            ORDER BY due_at LIMIT {max(limit, 0)} FOR UPDATE SKIP LOCKED) AS found {_ITS_ROW}
        SET t.owner = {text(owner)}, t.due_at = LAST_INSERT_ID({NOW} + {lease + offset}), t.found_due = found.due_at,
            t.version = ((t.version >> {TAG_BITS}) + 1 << {TAG_BITS}) | {tag},
            t.doubt = found.doubt * 2 + IF(t.status >= {STATUS_CODE[Status.ABORTING]}, found.doubt, 1)"""


TRY = claim("", 0, horizon=0, lease=0, offset=0, tag=0)
"""Shows, with nothing to claim, that this server takes our writes and understands what we say."""


def claimed(owner: str, until: int | None) -> str:
    """The rows of a claim, oldest due first: COLUMNS, the doubt and the due_at that were found.

    until: the lease's end; None when it is not known: then all rows that are ever due are gone through.
    """
    due = f"due_at < {NEVER}" if until is None else f"due_at = {until}"
    return f"""
        SELECT {_COLUMNS}, doubt >> 1, found_due FROM dtm_transaction
        WHERE {due} AND owner = {text(owner)} ORDER BY found_due, id"""


def give_back(row_id: int, owner: str, doubt: bool, due_at: int) -> str:
    """Undo a claim."""
    return f"""
        UPDATE {_BY_ID} SET owner = '', due_at = {due_at:d}, doubt = {doubt:d}
        WHERE id = {row_id:d} AND owner = {text(owner)}"""


def release(gid: str | None, offset: int) -> str:
    """Rows in quarantine become due: one, or all."""
    if gid is None:
        return f"UPDATE {_BY_DUE} SET due_at = {NOW} + {offset} WHERE due_at = {QUARANTINE}"
    found = f"gid = {blob(utf8(gid))} AND due_at = {QUARANTINE}"
    return f"UPDATE {_BY_GID} SET due_at = {NOW} + {offset} WHERE {found}"


def renew(held: Mapping[int, str], lease: int, offset: int, *, wait: bool) -> str:
    """Lengthen leases to `lease` ms from now. Without `wait`, rows that somebody holds a lock on are left out."""
    longer = f"due_at = GREATEST(COALESCE(NULLIF(due_at, {NEVER}), 0), {NOW} + {lease + offset})"
    if wait:
        return f"UPDATE {_BY_ID} SET {longer} WHERE {_held(held)}"
    # The limit keeps the inner query apart: merged into the outer one it would wait.
    return f"""
        UPDATE (
            SELECT id FROM {_BY_ID} WHERE {_held(held)} LIMIT {len(held)} FOR UPDATE SKIP LOCKED) AS found
        {_ITS_ROW} SET {longer}"""


def owned_versions(held: Mapping[int, str]) -> str:
    """id and version of the rows that have these owners."""
    return f"SELECT id, version FROM dtm_transaction WHERE {_held(held)}"


def make_due(later_than: int, limit: int, offset: int) -> str:
    """Free unfinished rows become due whose time is later than `later_than` ms from now."""
    return f"""
        UPDATE (
            SELECT id FROM {_BY_DUE}
            WHERE due_at > {NOW} + {later_than + offset} AND due_at < {NEVER} AND owner = '' AND status < {FIRST_FINAL}
            ORDER BY due_at LIMIT {max(limit, 0)} FOR UPDATE SKIP LOCKED) AS found {_ITS_ROW}
        SET t.due_at = {NOW} + {offset}"""


def purge(before: int, limit: int) -> str:
    """Delete what ended before."""
    return f"""
        DELETE t FROM (
            SELECT id FROM {_BY_FINISHED} WHERE finished_at < {before:d}
            ORDER BY finished_at LIMIT {max(limit, 0)} FOR UPDATE SKIP LOCKED) AS found {_ITS_ROW}"""


def count_finished(before: int) -> str:
    """How many ended before."""
    return f"SELECT count(*) FROM {_BY_FINISHED} WHERE finished_at < {before:d}"


def scan(wanted: Filter, below: int | None, limit: int) -> str:
    """Rows, newest first."""
    code = STATUS_CODE.get(wanted.status, 0)
    conditions = ["true"]
    if below is not None:
        conditions.append(f"id < {below:d}")
    if wanted.status:
        conditions.append(f"status = {code}")
    if wanted.unfinished:
        conditions.append(f"status < {FIRST_FINAL}")
    if wanted.unfinished or (wanted.status and code < FIRST_FINAL):
        conditions.append(f"finished_at = {NEVER}")  # so that the index of unfinished rows can be used
    if wanted.trans_type:
        conditions.append(f"trans_type = {text(wanted.trans_type)}")
    if wanted.created_from is not None:
        conditions.append(f"created_at >= {wanted.created_from:d}")
    if wanted.created_to is not None:
        conditions.append(f"created_at <= {wanted.created_to:d}")
    where = " AND ".join(conditions)
    return f"SELECT {_COLUMNS} FROM dtm_transaction WHERE {where} ORDER BY id DESC LIMIT {max(limit, 0)}"


def _held(held: Mapping[int, str]) -> str:
    owners = _pairs((row_id, text(owner)) for row_id, owner in sorted(held.items()))
    return f"id IN {_list(sorted(held))} AND (id, owner) IN {owners}"


def _pairs(pairs: Iterable[tuple[int, str]]) -> str:
    return _list(f"({row_id:d}, {value})" for row_id, value in pairs)


def _list(values: Iterable[int | str]) -> str:
    return f"({', '.join(map(str, values))})"
