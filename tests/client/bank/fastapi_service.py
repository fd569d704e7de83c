"""A bank in FastAPI, with asynchronous psycopg on PostgreSQL."""

import sys

import psycopg
import uvicorn
from fastapi import FastAPI, Request

from dtm.client import Barrier
from dtm.client.web import participant
from tests.client.bank.books import TABLE, Books, expect

app = participant(FastAPI())
books = Books(sys.argv[2])


@app.post("/move")
async def move(request: Request) -> None:
    barrier, order = Barrier.from_request(request, table=TABLE), await request.json()

    async def work(connection: psycopg.AsyncConnection) -> None:
        for statement, values in books.statements(barrier, order):
            cursor = await connection.execute(statement, values)
            expect(cursor.rowcount == 1, barrier)

    async with await psycopg.AsyncConnection.connect(books.url) as connection:
        await barrier.call(connection, work)


@app.get("/local")
async def local(request: Request) -> None:
    async with await psycopg.AsyncConnection.connect(books.url) as connection:
        await Barrier.from_request(request, table=TABLE).query_prepared(connection)


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
