"""The options that all transactions share, by the names of the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict


class Options(TypedDict, total=False):
    """Seconds are whole; 0 or absent means the server's own. TypeError: an option that is none of these.

    wait_result: submit returns when the transaction has succeeded, and raises Failure or Ongoing otherwise.
    timeout_to_fail: s until it is given up while undecided (saga: while going forward).
    request_timeout: s that one call of a participant may take. retry_interval: s until the next try, the first time.
    retry_limit: after how many errors of one action a saga rolls back. branch_headers: sent along with every call.
    """

    wait_result: bool
    timeout_to_fail: int
    request_timeout: int
    retry_interval: int
    retry_limit: int
    branch_headers: Mapping[str, str]
