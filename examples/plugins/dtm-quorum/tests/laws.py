"""What a quorum promises beyond the laws for all."""

from collections.abc import Iterator

import dtm
from dtm.testing import History, Law


def _exactly_the_chosen(history: History, protocol: dtm.Protocol) -> Iterator[str]:
    final = history.final
    if final is None or final.status is not dtm.Status.SUCCEED:
        return
    chosen = final.result.split()
    if len(chosen) != final.body["need"]:
        yield f"{len(chosen)} are kept, {final.body['need']} are needed"
    urls = {branch.key: branch.url for branch in final.branches}
    effects = {event.key for event in history.of("effect")}
    for branch_id in chosen:
        if (branch_id, "reserve") not in effects:
            yield f"{branch_id} is kept, but has not reserved"
    for event in history.of("request"):
        branch_id, op = event.key or ("", "")
        if op == "release" and branch_id in chosen:
            yield f"{branch_id} is kept, but was released"
        if op == "reserve" and branch_id not in chosen:
            undo = (branch_id, "release")
            if urls[undo] and undo not in effects:
                yield f"{branch_id} may have reserved, is not kept, and was not released"


def _chosen_first(history: History, protocol: dtm.Protocol) -> Iterator[str]:
    decided = False
    for event in history.of("row", "request"):
        decided = decided or event.status in (dtm.Status.SUBMITTED, dtm.Status.ABORTING)
        if event.key and event.key[1] == "release" and not decided:
            yield f"{event.key[0]} was released before anything was decided"


LAWS = (
    Law("exactly-the-chosen", "So many as are needed are kept, and all others are released.", _exactly_the_chosen),
    Law("chosen-first", "Nobody is released before the choice is stored.", _chosen_first),
)
