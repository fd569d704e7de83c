"""From the figures that lie about to families of Prometheus: every name, label and help text stands here.

docs/metrics.md explains them all; tests/docs/ sees to it that it does.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from itertools import accumulate

import tornado
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from dtm.core.metrics.events import OTHER, Events
from dtm.core.metrics.lag import LoopLag
from dtm.core.node import Node
from dtm.core.passes import Passes
from dtm.core.scheduler import Scheduler
from dtm.core.store.group_commit import GroupCommit
from dtm.core.store.grouped import GroupedStore
from dtm.core.store.survey import COUNTED, Backlog
from dtm.core.tally import Histogram
from dtm.core.web.door import Door
from dtm.core.web.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Parts:
    """Who knows the figures."""

    node: Node
    passes: Passes
    scheduler: Scheduler
    door: Door
    traffic: Traffic
    events: Events
    lag: LoopLag


Labels = tuple[str, ...]


def _counter(name: str, text: str, labels: Labels, values: Iterable[tuple[Labels, float]]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def _gauge(name: str, text: str, labels: Labels, values: Iterable[tuple[Labels, float]]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def _histogram(name: str, text: str, labels: Labels, values: Iterable[tuple[Labels, Histogram]]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for key, histogram in values:
        bounds = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
        family.add_metric(key, list(zip(bounds, accumulate(histogram.counts), strict=True)), histogram.sum)
    return family


def of_the_contract(parts: Parts) -> Iterator[Metric]:
    """The series that DTM's dashboards know (contract 1.13), with its names and labels."""
    versions = (f"tornado {tornado.version}", "none")
    yield _gauge("dtm_server_info", "The server", ("gin_version", "grpc_version"), [(versions, 1)])
    served = parts.traffic.served
    answers = [(("http", api, "ok"), each.ok) for api, each in served.items()]
    answers += [(("http", api, "fail"), each.failed) for api, each in served.items()]
    yield _counter("dtm_server_process_total", "Requests answered", ("type", "api", "status"), answers)
    took = [(("http", api), each.seconds) for api, each in served.items()]
    yield _histogram("dtm_server_response_duration", "Seconds until the answer", ("type", "api"), took)
    events = parts.events
    ended = events.ended.items()
    yield _counter("dtm_transaction_process_total", "Transactions ended", ("model", "status"), ended)
    handled = [((model,), seconds) for model, seconds in events.handled.items()]
    text = "Seconds from creation to the end"
    yield _histogram("dtm_transaction_handled_duration", text, ("model",), handled)
    labels = ("model", "branchid", "branchtype", "status")
    yield _counter("dtm_branch_process_total", "Answers of participants", labels, events.branches.items())


def of_the_node(parts: Parts) -> Iterator[Metric]:
    """What runs here."""
    node, passes, quarantine = parts.node, parts.passes, parts.passes.quarantine
    about = (node.name, version("dtm-coordinator"), platform.python_version())
    yield _gauge("dtm_node_info", "This node", ("node", "version", "python"), [(about, 1)])
    events = parts.events
    created = [((model,), count) for model, count in events.created.items()]
    yield _counter("dtm_transactions_created_total", "Transactions stored", ("model",), created)
    yield _one_counter("dtm_passes_total", "Passes begun", passes.started)
    yield _one_gauge("dtm_passes_running", "Passes that run now", len(passes))
    yield _one_counter("dtm_claims_total", "Rows claimed", parts.scheduler.claimed)
    yield _one_counter("dtm_recovered_total", "Rows taken over in doubt", passes.recovered)
    yield _one_counter("dtm_bad_plans_total", "Plans that made no sense", node.tally.bad_plans)
    text = "Passes that found their row in other hands"
    yield _one_counter("dtm_stale_epoch_total", text, node.tally.stale_leases)
    text = "Transactions stopped because the database has lost commits"
    yield _one_counter("dtm_lost_commits_total", text, node.tally.lost_commits)
    yield _one_counter("dtm_unfit_rows_total", "Times that a row could not be run", quarantine.unfit)
    yield _one_counter("dtm_quarantined_total", "Rows put into quarantine", quarantine.quarantined)
    yield _one_gauge("dtm_requests_running", "Requests not answered yet", parts.door.inside)
    yield _one_gauge("dtm_event_loop_tasks", "Tasks of the event loop", len(asyncio.all_tasks()))
    yield _histogram("dtm_event_loop_lag_seconds", "By how much timers were late", (), [((), parts.lag.seconds)])


def of_calls(parts: Parts) -> Iterator[Metric]:
    """What is asked of participants."""
    tally, slots = parts.node.tally, parts.node.slots
    yield _one_counter("dtm_calls_sent_total", "Requests sent to participants", tally.calls_sent)
    yield _one_gauge("dtm_calls_in_flight", "Calls begun and not landed", tally.in_flight)
    landed = [((outcome.lower(),), count) for outcome, count in tally.landed.items()]
    landed.append((("unsent",), tally.unsent))
    yield _counter("dtm_calls_landed_total", "Calls by how they ended", ("outcome",), landed)
    failing = parts.events.failing.items()
    yield _counter("dtm_branch_failing_total", "Errors of branches that keep failing", ("model", "op"), failing)
    yield _one_counter("dtm_slot_waits_total", "Calls that queued for a slot of their host", slots.waited)
    yield _one_counter("dtm_slot_misses_total", "Calls that got no slot in time", slots.missed)
    yield _one_gauge("dtm_slot_queue", "Calls that queue now", slots.waiting)


def of_commits(store: GroupedStore) -> Iterator[Metric]:
    """What group commit does."""
    queues: dict[str, GroupCommit] = {"inserts": store.inserts, "saves": store.saves}
    if store.inserts is store.saves:
        queues = {"all": store.saves}
    named = [((name,), queue) for name, queue in queues.items()]
    labels = ("queue",)
    yield _counter("dtm_commits_total", "Batches written", labels, [(key, queue.flushes) for key, queue in named])
    sizes = [(key, queue.sizes) for key, queue in named]
    yield _histogram("dtm_commit_batch_size", "Rows in a batch", labels, sizes)
    seconds = [(key, queue.seconds) for key, queue in named]
    yield _histogram("dtm_commit_seconds", "Seconds that a batch took", labels, seconds)
    unknown = [(key, queue.unknown) for key, queue in named]
    yield _counter("dtm_commits_unknown_total", "Rows of whose write nobody knew the fate", labels, unknown)
    yield _one_counter("dtm_lost_saves_total", "Compare-and-sets lost", store.stale_saves)


def of_the_store(backlog: Backlog | None, models: Container[str], now: int) -> Iterator[Metric]:
    """What is stored, the same for all nodes of one database; None: the store did not say."""
    yield _one_gauge("dtm_store_writable", "1: the store takes writes", backlog is not None)
    if backlog is None:
        return
    unfinished: dict[Labels, int] = {}
    for (trans_type, status), found in backlog.kinds.items():
        key = (trans_type if trans_type in models else OTHER, status.value)
        unfinished[key] = unfinished.get(key, 0) + found.count
    text = f"Transactions that have not ended, up to {COUNTED} of each"
    yield _gauge("dtm_unfinished", text, ("model", "status"), unfinished.items())
    oldest = min((found.oldest for found in backlog.kinds.values()), default=None)
    yield _one_gauge("dtm_oldest_unfinished_seconds", "Age of the oldest of them; 0: there is none", _age(oldest, now))
    yield _one_gauge("dtm_due", f"Rows that wait to be claimed, up to {COUNTED}", backlog.due)
    text = "For how long the first of them has waited; 0: there is none"
    yield _one_gauge("dtm_overdue_seconds", text, _age(backlog.due_since, now))
    yield _one_gauge("dtm_quarantined", "Rows in quarantine", backlog.quarantined)


def _age(since: int | None, now: int) -> float:
    return 0.0 if since is None else max(now - since, 0) / 1000


def _one_counter(name: str, text: str, value: float) -> Metric:
    return _counter(name, text, (), [((), value)])


def _one_gauge(name: str, text: str, value: float) -> Metric:
    return _gauge(name, text, (), [((), value)])
