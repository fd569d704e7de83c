"""python pay.py FROM TO AMOUNT: reserves, asks, and pays; answering "no" gives everything back."""

import sys

from dtm.client import Client, Failure

BANK = "http://127.0.0.1:8081"


class NoThanks(Exception):
    """Somebody thought better of it."""


source, target, amount = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Client("http://127.0.0.1:36789") as client:
    try:
        with client.tcc(wait_result=True) as tcc:
            for side, account in (("pay", source), ("receive", target)):
                urls = [f"{BANK}/{side}/{op}" for op in ("try", "confirm", "cancel")]
                tcc.call_branch(*urls, {"account": account, "amount": amount})
            if input() == "no":
                raise NoThanks
    except (Failure, NoThanks) as error:
        client.wait(tcc.gid)  # until everything is given back
        print("refused, nothing paid" if isinstance(error, Failure) else "no, nothing paid")
    else:
        print("paid")
