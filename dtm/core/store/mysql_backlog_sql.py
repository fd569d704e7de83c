"""The statements for MySQL and MariaDB that count what is unfinished: what they read has a bound (`survey.COUNTED`)."""

from __future__ import annotations

from collections.abc import Iterable

from dtm.core.store.base import QUARANTINE
from dtm.core.store.codec import FIRST_FINAL
from dtm.core.store.mysql_literals import text
from dtm.core.store.mysql_sql import NEVER, NOW
from dtm.core.store.survey import COUNTED

# ruff: noqa: S608 - every value goes through `text`, or is a number of ours

_BY_DUE = "dtm_transaction FORCE INDEX (dtm_transaction_due)"
_UNFINISHED = f"dtm_transaction FORCE INDEX (dtm_transaction_finished) WHERE finished_at = {NEVER}"


def due_now(offset: int) -> str:
    """How many rows are due, and since when; how many are in quarantine."""
    due = f"{_BY_DUE} WHERE due_at <= {NOW} + {offset}"
    shut_away = f"{_BY_DUE} WHERE due_at = {QUARANTINE}"
    return f"SELECT ({_number(due)}), (SELECT MIN(due_at) FROM {due}), ({_number(shut_away)})"


def kinds(versions: Iterable[tuple[str, str]]) -> str:
    """Of the unfinished rows of these (trans_type, version), by status: the version's place in the order, the status,
    how many there are, id and created_at of the oldest.
    """
    return " UNION ALL ".join(
        _kind(place, code, f"trans_type = {text(trans_type)} AND protocol_version = {text(version)}")
        for place, (trans_type, version) in enumerate(versions)
        for code in range(1, FIRST_FINAL)
    )


def _kind(place: int, code: int, which: str) -> str:
    found = f"{_UNFINISHED} AND status = {code} AND {which}"
    return f"""
        (SELECT {place}, {code}, ({_number(found)}) AS number, id, created_at FROM {found} ORDER BY id LIMIT 1)"""


def _number(found: str) -> str:
    """How many rows there are, of a table with its condition; from COUNTED on it is not gone on."""
    return f"SELECT count(*) FROM (SELECT 1 FROM {found} LIMIT {COUNTED}) AS counted"


def next_versions(trans_type: str, version: str) -> str:
    """The first (trans_type, version) behind this one, for each status that is not final: two looks into the index."""
    return " UNION ALL ".join(
        f"(SELECT trans_type, protocol_version FROM {_UNFINISHED} AND status = {code} AND {where} LIMIT 1)"
        for code in range(1, FIRST_FINAL)
        for where in (  # an order that names what is fixed anyway would make MariaDB sort
            f"trans_type = {text(trans_type)} AND protocol_version > {text(version)} ORDER BY protocol_version",
            f"trans_type > {text(trans_type)} ORDER BY trans_type, protocol_version",
        )
    )
