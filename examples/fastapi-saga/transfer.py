"""python transfer.py FROM TO AMOUNT: moves money from one account to another."""

import sys

from dtm.client import Client, Failure

BANK = "http://127.0.0.1:8081"

source, target, amount = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Client("http://127.0.0.1:36789") as client:
    saga = client.saga(wait_result=True)
    saga.step(f"{BANK}/withdraw", f"{BANK}/withdraw/undo", {"account": source, "amount": amount})
    saga.step(f"{BANK}/deposit", f"{BANK}/deposit/undo", {"account": target, "amount": amount})
    try:
        saga.submit()
    except Failure:
        print("rolled back:", client.wait(saga.gid).reason)
    else:
        print("done")
