"""A lease leaves room for a call to begin in, whatever its time-out: else a lagging node would only renew, for ever."""

from __future__ import annotations

import pytest

from dtm.plugins.saga import PROTOCOL as SAGA
from dtm.testing import Step, simulate

STEP = {"action": "http://a/do", "compensate": "http://a/undo"}


@pytest.mark.parametrize("lag", [0.0, 0.3, 1.0])
def test_a_slow_way_to_the_gate_does_not_stop_a_long_call(monkeypatch: pytest.MonkeyPatch, lag: float) -> None:
    monkeypatch.setattr("dtm.testing.replies.DELAYS", (lag,))  # connecting takes that long
    body = {"gid": "g", "trans_type": "saga", "steps": [STEP, STEP], "payloads": ["1", "2"], "request_timeout": 20}
    history = simulate(SAGA, [Step("submit", body)])
    assert history.final is not None
    assert history.final.status == "succeed", history.story()
