"""No two nodes ever have one call in flight together, as long as none of them is paused (I-LEASE-2)."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.support.cluster import Cluster
from tests.support.watching import Watching

SECONDS = float(os.environ.get("CLUSTER_LOAD_SECONDS", "6"))
"""How long the load lasts: a few seconds, or as `make soak` says."""

CLIENTS, POKERS = 8, 4


@pytest.mark.timeout(120 + 3 * SECONDS)
def test_no_call_overlaps_another(nodes: Cluster, gid: Callable[[], str]) -> None:
    """Under load, with moody participants, while schedules are reset and submits repeated at random nodes."""
    watching = Watching(moody=0.15, slow=0.15)
    bodies: dict[str, dict] = {}
    stopping = threading.Event()

    def client() -> None:
        while not stopping.is_set():
            body = watching.transfer(gid(), refused=random.random() < 0.3, request_timeout=20)
            bodies[body["gid"]] = body
            assert nodes.any().post("submit", body)[0] == 200
            time.sleep(0.1)

    def poker() -> None:
        while not stopping.is_set():
            time.sleep(0.02)
            for body in random.sample(list(bodies.values()), min(3, len(bodies))):
                if random.random() < 0.5:
                    assert nodes.any().post("submit", body)[0] in (200, 409)
                else:
                    assert nodes.any().post("resetNextCronTime", {"gid": body["gid"]})[0] in (200, 404)
            assert nodes.any().get("resetCronTime", timeout=0.1, limit=50)[0] == 200

    with ExitStack() as end, ThreadPoolExecutor(CLIENTS + POKERS) as pool:
        end.callback(stopping.set)
        threads = [pool.submit(client) for _ in range(CLIENTS)] + [pool.submit(poker) for _ in range(POKERS)]
        time.sleep(SECONDS)
        stopping.set()
        for each in threads:
            each.result()
    endings = nodes.until_all_final(bodies, within=90 + SECONDS)
    watching.close()
    assert watching.overlapping(set(bodies)) == []
    assert watching.stale(set(bodies)) == []
    assert len({span.gid for span in watching.spans}) == len(bodies)
    watching.check(endings)
