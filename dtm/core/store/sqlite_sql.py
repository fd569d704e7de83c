"""The statements of the embedded database, all constant. Sets of rows go in as one JSON parameter, however many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import orjson

from dtm.core.model import Status
from dtm.core.store.base import QUARANTINE, TAG_BITS, Filter
from dtm.core.store.codec import COLUMNS, FIRST_FINAL, STATUS_CODE
from dtm.core.store.survey import COUNTED

# ruff: noqa: S608 - nothing is formatted in here but constants of this package; values are always parameters

# As blobs: a document that is no UTF-8 is then the codec's affair, and no error of the whole query.
_ROW = ", ".join((*COLUMNS[:-2], "CAST(request AS BLOB)", "CAST(state AS BLOB)"))
_MARKS = ", ".join("?" * len(COLUMNS))

GID_EXISTS = "SELECT 1 FROM dtm_transaction WHERE gid = ?"
STORED = "SELECT id, version FROM dtm_transaction WHERE id IN (SELECT value FROM json_each(?))"

LOAD_IDS = f"SELECT {_ROW} FROM dtm_transaction WHERE id IN (SELECT value FROM json_each(?))"

DUE = "SELECT id, doubt, due_at FROM dtm_transaction WHERE due_at <= ? ORDER BY due_at, id LIMIT ?"
CLAIM = f"""
    UPDATE dtm_transaction SET owner = ?1, due_at = ?2, version = ((version >> {TAG_BITS}) + 1) << {TAG_BITS} | ?3,
        doubt = CASE WHEN status >= {STATUS_CODE[Status.ABORTING]} THEN doubt ELSE 1 END
    WHERE id IN (SELECT value FROM json_each(?4))"""

HELD = """
    SELECT t.id, t.version FROM json_each(?) AS held CROSS JOIN dtm_transaction AS t
    ON t.id = json_extract(held.value, '$[0]') WHERE t.owner = json_extract(held.value, '$[1]')"""
RENEW = """
    UPDATE dtm_transaction SET due_at = max(coalesce(due_at, 0), ?)
    WHERE id IN (SELECT value FROM json_each(?))"""

MAKE_DUE = f"""
    UPDATE dtm_transaction SET due_at = ? WHERE id IN (
        SELECT id FROM dtm_transaction WHERE due_at > ? AND owner = '' AND status < {FIRST_FINAL}
        ORDER BY due_at, id LIMIT ?)"""
ORPHANS = "UPDATE dtm_transaction SET owner = '', due_at = ? WHERE due_at IS NOT NULL AND owner <> ''"
PURGE = """
    DELETE FROM dtm_transaction WHERE id IN (
        SELECT id FROM dtm_transaction WHERE finished_at < ? ORDER BY finished_at, id LIMIT ?)"""
COUNT_FINISHED = "SELECT count(*) FROM dtm_transaction WHERE finished_at < ?"

_OF_A_STATUS = f"""
    dtm_transaction INDEXED BY dtm_transaction_unfinished WHERE unlikely(status = ?1) AND status < {FIRST_FINAL}"""
"""unlikely: else the planner, in a database that somebody has analyzed, may go through all that are unfinished."""
_OLDEST = "SELECT trans_type, protocol_version, id, created_at FROM"
NEXT_VERSION = f"""
    {_OLDEST} {_OF_A_STATUS} AND trans_type = ?2 AND protocol_version > ?3 ORDER BY protocol_version, id LIMIT 1"""
NEXT_TYPE = f"{_OLDEST} {_OF_A_STATUS} AND trans_type > ?2 ORDER BY trans_type, protocol_version, id LIMIT 1"
"""The oldest row of the next version of that protocol, and of the first version of the next one: a look into the index.
Both as one comparison of pairs would walk past all that are of that version.
"""


def _number(found: str) -> str:
    """How many rows there are, of a table with its condition; from COUNTED on it is not gone on."""
    return f"SELECT count(*) FROM (SELECT 1 FROM {found} LIMIT {COUNTED})"


NUMBER = _number(f"{_OF_A_STATUS} AND trans_type = ?2 AND protocol_version = ?3")
_DUE_NOW = "dtm_transaction WHERE due_at <= ?1"
_SHUT_AWAY = f"dtm_transaction WHERE due_at = {QUARANTINE}"
DUE_NOW = f"SELECT ({_number(_DUE_NOW)}), (SELECT min(due_at) FROM {_DUE_NOW}), ({_number(_SHUT_AWAY)})"

GIVE_BACK = "UPDATE dtm_transaction SET owner = '', due_at = ?, doubt = ? WHERE id = ? AND owner = ?"
RELEASE = f"UPDATE dtm_transaction SET due_at = ?1 WHERE due_at = {QUARANTINE} AND (?2 IS NULL OR gid = ?2)"
UNFINISHED = f"""
    SELECT id FROM dtm_transaction INDEXED BY dtm_transaction_unfinished WHERE status < {FIRST_FINAL}"""
"""Ids. Asked for rows instead, newest first, the planner would walk past all that have ended."""

_KV_COLUMNS = "cat, key, value, version, created_at, updated_at"
KV_GET = f"SELECT {_KV_COLUMNS} FROM dtm_kv WHERE cat = ? AND key = ?"
KV_SCAN = f"""
    SELECT {_KV_COLUMNS} FROM dtm_kv WHERE (?1 = '' OR cat = ?1) AND (?2 IS NULL OR (cat, key) > (?2, ?3))
    ORDER BY cat, key LIMIT ?4"""
KV_NEW = "INSERT INTO dtm_kv VALUES (?1, ?2, ?3, 1, ?4, ?4) ON CONFLICT DO NOTHING"
KV_CHANGE = """
    UPDATE dtm_kv SET value = ?3, version = version + 1, updated_at = ?4
    WHERE cat = ?1 AND key = ?2 AND version = ?5"""
KV_DELETE = "DELETE FROM dtm_kv WHERE cat = ? AND key = ?"


@lru_cache(maxsize=512)
def loads(rows: int) -> str:
    """The rows of so many gids. As parameters of their own: json_each ends a text at its first zero byte."""
    return f"SELECT {_ROW} FROM dtm_transaction WHERE gid IN ({', '.join('?' * rows)})"


@lru_cache(maxsize=512)
def inserts(rows: int) -> str:
    """So many new rows, in the order of COLUMNS; where gid or id exists already, nothing."""
    values = ", ".join([f"({_MARKS})"] * rows)
    return f"INSERT INTO dtm_transaction ({', '.join(COLUMNS)}) VALUES {values} ON CONFLICT DO NOTHING"


UPDATE_VALUES = 11
"""id, expected version, status, version, updated_at, finished_at, state; request, doubt, owner (None: left); due_at."""


@lru_cache(maxsize=512)
def updates(rows: int) -> str:
    """So many compare-and-sets, each with UPDATE_VALUES."""
    marks = ", ".join("?" * UPDATE_VALUES)
    return f"""
        UPDATE dtm_transaction AS t SET status = n.column3, version = n.column4, updated_at = n.column5,
            finished_at = n.column6, state = n.column7, request = coalesce(n.column8, t.request),
            doubt = coalesce(n.column9, t.doubt), owner = coalesce(n.column10, t.owner),
            due_at = CASE WHEN n.column10 IS NULL THEN t.due_at ELSE n.column11 END
        FROM (VALUES {", ".join([f"({marks})"] * rows)}) AS n WHERE t.id = n.column1 AND t.version = n.column2"""


def ids_json(ids: Iterable[int]) -> str:
    """Row ids as one parameter."""
    return orjson.dumps(list(ids)).decode()


def held_json(held: Mapping[int, str]) -> str:
    """Row ids and their owners as one parameter, for HELD."""
    return orjson.dumps(list(held.items())).decode()


def scan(wanted: Filter, below: int | None, limit: int) -> tuple[str, list[Any]]:
    """The statement that lists rows newest first, and its values."""
    code = STATUS_CODE.get(wanted.status, 0)
    # The bound beside the status is what lets the planner use the index of unfinished rows.
    bound = f"status >= {FIRST_FINAL}" if code >= FIRST_FINAL else f"status < {FIRST_FINAL}"
    conditions = {
        "id < ?": below,
        f"status = ? AND {bound}": code if wanted.status else None,
        "trans_type = ?": wanted.trans_type or None,
        "created_at >= ?": wanted.created_from,
        "created_at <= ?": wanted.created_to,
    }
    used = {sql: value for sql, value in conditions.items() if value is not None}
    unfinished = [f"id IN ({UNFINISHED})"] if wanted.unfinished else []
    where = " AND ".join([*used, *unfinished]) or "true"
    return f"SELECT {_ROW} FROM dtm_transaction WHERE {where} ORDER BY id DESC LIMIT ?", [*used.values(), limit]
