"""A bank in Flask, with PyMySQL on MariaDB."""

import sys
from contextlib import closing

from flask import Flask, request

from dtm.client import Barrier
from dtm.client.web import participant
from tests.client.bank.books import TABLE, Books

app = participant(Flask(__name__))
books = Books(sys.argv[2])


@app.post("/move")
def move():
    barrier = Barrier.from_request(request, table=TABLE)
    with closing(books.connect()) as connection:
        barrier.call(connection, lambda connection: books.move(connection, barrier, request.get_json(force=True)))
    return {}


@app.get("/local")
def local():
    with closing(books.connect()) as connection:
        Barrier.from_request(request, table=TABLE).query_prepared(connection)
    return {}


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), threaded=True)
