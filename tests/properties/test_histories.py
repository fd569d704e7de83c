"""Thousands of generated histories of each protocol keep the invariants: crashes, take-overs, lost replies, races."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.properties.runs import PROTOCOLS, first_broken, history_of

HISTORIES = 5000
CHUNK = 250


@pytest.fixture(scope="module")
def pool():
    """Processes of their own: the histories need all cores, and no coverage, which would double their time."""
    context = multiprocessing.get_context("spawn")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as executor:
            yield executor


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PROTOCOLS)
def test_generated_histories_keep_the_invariants(name: str, pool: ProcessPoolExecutor) -> None:
    chunks = [range(start, start + CHUNK) for start in range(0, HISTORIES, CHUNK)]
    told = [story for story in pool.map(first_broken, [name] * len(chunks), chunks) if story]
    assert not told, told[0]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_histories_are_worth_their_name(name: str) -> None:
    """The generator reaches both ends, crashes, doubt, take-overs by another node, lost replies, racing verbs."""
    kinds, ends, doubt, nodes = set(), set(), False, set()
    for seed in range(200):
        history, _ = history_of(name, seed)
        kinds |= {event.kind for event in history.events}
        ends.add(history.final and history.final.status)
        doubt = doubt or any(event.text == "doubt" for event in history.of("claim"))
        nodes |= {event.node for event in history.of("claim")}
    assert {"crash", "claim", "lost", "request", "ok", "refused", "unknown"} <= kinds
    assert {"succeed", "failed"} <= ends
    assert doubt
    assert nodes == {"n0", "n1"}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_same_seed_tells_the_same_story(name: str) -> None:
    for seed in range(25):
        assert history_of(name, seed)[0].story() == history_of(name, seed)[0].story()
