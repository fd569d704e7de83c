"""The test kit for authors of protocols: run the real engine in virtual time, and read what happened.

Example::

    history = simulate(PROTOCOL, [Step("submit", body)], seed=7, faults=Faults(trouble=0.3))
    assert history.final.status is dtm.Status.SUCCEED, history.story()
"""

from dtm.testing.history import Happening, History
from dtm.testing.scenario import Faults, Step
from dtm.testing.simulator import simulate

__all__ = ["Faults", "Happening", "History", "Step", "simulate"]
