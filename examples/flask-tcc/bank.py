"""A bank that reserves before it pays, in MariaDB. `python bank.py` makes its tables and opens two accounts."""

import os
from contextlib import closing
from urllib.parse import urlsplit

import pymysql
from flask import Flask, request

from dtm.client import Barrier, Failure
from dtm.client.barrier import create_table
from dtm.client.web import participant

TABLE = """
CREATE TABLE account (
    name VARCHAR(40) PRIMARY KEY, balance INT NOT NULL, frozen INT NOT NULL DEFAULT 0,
    CHECK (frozen BETWEEN 0 AND balance)
)
"""
app = participant(Flask(__name__))  # Failure is answered by 409


def connect():
    url = urlsplit(os.environ["DATABASE"])
    return pymysql.connect(
        host=url.hostname, port=url.port, user=url.username, password=url.password or "", database=url.path[1:]
    )


def guarded(sql, **more):
    """Run one UPDATE, once, in one transaction with the barrier's rows. Failure: it found no row to change."""

    def work(connection):
        with connection.cursor() as cursor:
            if not cursor.execute(sql, order | more):
                raise Failure(f"{order['account']} has no account, or not enough in it")

    order = request.get_json()
    with closing(connect()) as connection:
        Barrier.from_request(request).call(connection, work)
    return {}


@app.post("/pay/try")
def pay_try():
    """What is to leave is frozen: it is there still, but nobody else can have it."""
    return guarded(
        "UPDATE account SET frozen = frozen + %(amount)s WHERE name = %(account)s AND balance - frozen >= %(amount)s"
    )


@app.post("/pay/confirm")
def pay_confirm():
    return guarded(
        "UPDATE account SET balance = balance - %(amount)s, frozen = frozen - %(amount)s WHERE name = %(account)s"
    )


@app.post("/pay/cancel")
def pay_cancel():
    return guarded("UPDATE account SET frozen = frozen - %(amount)s WHERE name = %(account)s")


@app.post("/receive/try")
def receive_try():
    """Nothing to reserve: it only sees to it that there is such an account."""
    order = request.get_json()
    with closing(connect()) as connection, connection.cursor() as cursor:
        if not cursor.execute("SELECT 1 FROM account WHERE name = %(account)s", order):
            raise Failure(f"{order['account']} has no account")
    return {}


@app.post("/receive/confirm")
def receive_confirm():
    return guarded("UPDATE account SET balance = balance + %(amount)s WHERE name = %(account)s")


@app.post("/receive/cancel")
def receive_cancel():
    return {}


@app.get("/accounts")
def accounts():
    with closing(connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT name, balance, frozen FROM account ORDER BY name")
        return {name: {"balance": balance, "frozen": frozen} for name, balance, frozen in cursor.fetchall()}


if __name__ == "__main__":
    with closing(connect()) as connection, connection.cursor() as cursor:
        create_table(connection)
        cursor.execute(TABLE)
        cursor.execute("INSERT INTO account (name, balance) VALUES ('alice', 100), ('bob', 100)")
        connection.commit()
