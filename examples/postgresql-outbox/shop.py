"""A shop that gives points for orders. Orders and points are in PostgreSQL; `python shop.py` makes the tables.

The points could be anybody's: another service, another database. They are in here to keep the example small.
"""

import os

import psycopg
from fastapi import FastAPI, Request
from psycopg.types.json import Jsonb

from dtm.client import AsyncClient, Barrier
from dtm.client.barrier import create_table
from dtm.client.web import participant

TABLES = """
CREATE TABLE orders (id SERIAL PRIMARY KEY, content JSONB);
CREATE TABLE points (customer TEXT PRIMARY KEY, points INTEGER NOT NULL);
"""
SHOP = "http://127.0.0.1:8081"

app = participant(FastAPI())
dtm = AsyncClient("http://127.0.0.1:36789")


def connect():
    return psycopg.AsyncConnection.connect(os.environ["DATABASE"])


@app.post("/orders")
async def order(order: dict) -> str:
    """The order is stored, and points will be given: both, or neither."""

    async def store(connection) -> None:
        await connection.execute("INSERT INTO orders (content) VALUES (%s)", [Jsonb(order)])

    async def work(barrier: Barrier) -> None:
        async with await connect() as connection:
            await barrier.call(connection, store)
        if order.get("crash"):
            os._exit(1)  # committed, and nobody has been told

    msg = dtm.msg(timeout_to_fail=3).step(f"{SHOP}/points", order)
    await msg.do_and_submit(f"{SHOP}/orders/stored", work)
    return msg.gid


@app.get("/orders/stored")
async def stored(request: Request) -> None:
    """What dtm asks when it was not told: has the order been stored?"""
    async with await connect() as connection:
        await Barrier.from_request(request).query_prepared(connection)


@app.post("/points")
async def give_points(order: dict, request: Request) -> None:
    async def work(connection) -> None:
        await connection.execute(
            "INSERT INTO points VALUES (%s, 10) ON CONFLICT (customer) DO UPDATE SET points = points.points + 10",
            [order["customer"]],
        )

    async with await connect() as connection:
        await Barrier.from_request(request).call(connection, work)


@app.get("/points")
async def points() -> dict[str, int]:
    async with await connect() as connection:
        cursor = await connection.execute("SELECT customer, points FROM points ORDER BY customer")
        return dict(await cursor.fetchall())


if __name__ == "__main__":
    with psycopg.connect(os.environ["DATABASE"]) as connection:
        create_table(connection)
        connection.execute(TABLES)
