"""What an escalation promises beyond the laws for all."""

from collections.abc import Iterator

import dtm
from dtm.testing import History, Law


def _patient(history: History, protocol: dtm.Protocol) -> Iterator[str]:
    """Looked at where it was decided: each contact has its time, but for those who cannot be reached."""
    for planned in history.plans:
        snapshot = planned.snapshot
        if not isinstance(planned.decision, dtm.Call) or snapshot.status is not dtm.Status.PREPARED:
            continue
        patience = 1000 * snapshot.request.get("patience", snapshot.settings.get("patience", 10))
        contacts = snapshot.op("tell")
        for branch in planned.decision.branches:
            before = [c for c in contacts[: [c.key for c in contacts].index(branch.key)] if not c.failed]
            if snapshot.now < snapshot.created + len(before) * patience:
                yield f"{branch.branch_id} at {snapshot.now - snapshot.created} ms, after {len(before)} others"


def _withdrawn(history: History, protocol: dtm.Protocol) -> Iterator[str]:
    final = history.final
    if final is None or final.status is not dtm.Status.SUCCEED:
        return
    by = history.plans[-1].snapshot.custom.get("by")
    effects = {event.key for event in history.of("effect")}
    for branch_id, op in dict.fromkeys(event.key for event in history.of("request") if event.key):
        if op == "withdraw" and branch_id == by:
            yield f"{by} has acknowledged, and it was withdrawn"
        if op == "tell" and branch_id != by and (branch_id, "withdraw") not in effects:
            yield f"{branch_id} may have been told, and it was not withdrawn"


LAWS = (
    Law("patient", "Nobody is told before those who come first have had their time.", _patient),
    Law(
        "withdrawn", "Once somebody has acknowledged, it is withdrawn from all others, and only from them.", _withdrawn
    ),
)
