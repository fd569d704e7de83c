"""An application of August 2021, to be run with `dtmcli` 0.2.1 on the path.

Arguments: the coordinator's API, the participants' base url, and saga, confirm or cancel.
"""

from __future__ import annotations

import sys

from dtmcli import saga, tcc, utils

coordinator, url, what = sys.argv[1:]
gid = utils.gen_gid(coordinator)
order = {"amount": 30}


def two_branches(transaction: tcc.Tcc) -> None:
    for _ in range(2):
        transaction.call_branch(order, url + "/try", url + "/confirm", url + "/cancel")
    if what == "cancel":
        raise RuntimeError("the application has thought better of it")


if what == "saga":
    steps = saga.Saga(coordinator, gid)
    for _ in range(2):
        steps.add(order, url + "/action", url + "/compensate")
    steps.submit()
else:
    tcc.tcc_global_transaction(coordinator, gid, two_branches)
print("\n" + gid)
