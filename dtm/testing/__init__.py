"""The test kit for authors of protocols: run the real engine in virtual time, and read what happened.

Example::

    history = simulate(PROTOCOL, {"urls": [...]}, script={("01", "tell"): ["lost", "success"]})
    assert history.final.status is dtm.Status.SUCCEED, history

    report = conformance(PROTOCOL)  # with the examples in its schemas
    assert report.ok, report
"""

from dtm.testing.conformance import conformance
from dtm.testing.history import Happening, History, Planned
from dtm.testing.law import Law, in_order, needs_all, not_before, one_way
from dtm.testing.laws import LAWS
from dtm.testing.report import Report, Verdict, Violation
from dtm.testing.requests import NoExamples, Requests
from dtm.testing.saved import replay, save
from dtm.testing.scenario import Faults, Step
from dtm.testing.simulator import simulate

__all__ = [
    "LAWS",
    "Faults",
    "Happening",
    "History",
    "Law",
    "NoExamples",
    "Planned",
    "Report",
    "Requests",
    "Step",
    "Verdict",
    "Violation",
    "conformance",
    "in_order",
    "needs_all",
    "not_before",
    "one_way",
    "replay",
    "save",
    "simulate",
]
