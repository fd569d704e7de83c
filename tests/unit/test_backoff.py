"""Waits between tries, in seconds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtm.core.backoff import base_interval, interval, jittered, quick_interval, unsent_interval


@pytest.mark.parametrize(
    ("retry_interval", "timeout_to_fail", "base"),
    [(0, 0, 10), (15, 0, 15), (15, 3, 15), (0, 3, 3), (0, 10, 10), (0, 60, 10), (0.5, 0, 0.5)],
)
def test_base(retry_interval: float, timeout_to_fail: float, base: float) -> None:
    assert base_interval(retry_interval, timeout_to_fail, default=10) == base


def test_errors_double_the_wait_up_to_the_cap() -> None:
    assert [interval(10, attempts, cap=60) for attempts in range(6)] == [10, 20, 40, 60, 60, 60]
    assert [interval(150, attempts, cap=60) for attempts in range(4)] == [150, 300, 300, 300]


def test_nothing_was_sent() -> None:
    assert [unsent_interval(10, attempts) for attempts in range(8)] == [0.5, 0.5, 1, 2, 4, 8, 10, 10]


def test_quick_tries() -> None:
    assert [quick_interval(10, attempts) for attempts in range(5)] == pytest.approx([0.1, 0.1, 0.2, 0.4, 0.8])
    assert quick_interval(0.3, 3) == 0.3


@given(st.floats(0.001, 10**6), st.integers(0, 10**9), st.floats(0.001, 10**6))
def test_any_number_of_attempts_waits_between_base_and_cap(base: float, attempts: int, cap: float) -> None:
    assert base <= interval(base, attempts, cap) <= max(cap, 2 * base)
    assert 0 < quick_interval(base, attempts) <= base
    assert 0 < unsent_interval(base, attempts) <= base


@given(st.floats(0, 10**6), st.floats(0, 1, exclude_max=True))
def test_jitter_only_shortens_and_at_most_by_a_tenth(wait: float, random: float) -> None:
    assert wait * 0.9 <= jittered(wait, random) <= wait
    assert jittered(wait, 0) == wait
