"""One participant in each framework, on one kind of connection each, over real HTTP.

POST /pay does the business of `works` behind a barrier; the body says how it ends: "", "refuse", "later", "break" (an
error of the database) or "crash" (any other).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp.web
import asyncpg
import fastapi
import flask
import starlette.applications
import starlette.requests
import starlette.responses
import starlette.routing
import tornado.httpserver
import tornado.netutil
import tornado.web
import uvicorn
import werkzeug.serving

from dtm.client import Barrier, Failure, Ongoing
from dtm.client.web import participant
from tests.client.barrier.kinds import Kind, settled
from tests.client.barrier.works import business

THEN: dict[str, tuple[str | Exception, ...]] = {
    "": (),
    "refuse": (Failure("no such account \ud800, it says, and ONGOING is no status"),),
    "later": (Ongoing("not yet"),),
    "break": ("INSERT INTO nowhere VALUES (1)",),
    "crash": (ValueError("FAILURE, ONGOING and SUCCESS are words"),),
}


def work_of(kind: Kind, barrier: Barrier, then: str) -> Callable[[Any], Any]:
    return business(kind, barrier.identity.gid, barrier.identity.op, *THEN[then])


async def pay(kind: Kind, request: Any, then: str) -> None:
    """The handler of all frameworks but Flask."""
    barrier = Barrier.from_request(request)
    async with kind.connected() as connection:
        await settled(barrier.call(connection, work_of(kind, barrier, then)))


@contextmanager
def fastapi_service(kind: Kind) -> Iterator[int]:
    app = participant(fastapi.FastAPI())

    @app.post("/pay")
    async def handle(request: fastapi.Request) -> None:
        await pay(kind, request, (await request.body()).decode())

    with _uvicorn(app) as port:
        yield port


@contextmanager
def starlette_service(kind: Kind) -> Iterator[int]:
    """With a pool of asyncpg's."""

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, asyncpg.Pool]]:
        async with asyncpg.create_pool(kind.places.postgresql, min_size=1, max_size=4) as pool:
            yield {"pool": pool}

    async def handle(request: starlette.requests.Request) -> starlette.responses.Response:
        barrier = Barrier.from_request(request)
        async with request.state.pool.acquire() as connection:
            await barrier.call(connection, work_of(kind, barrier, (await request.body()).decode()))
        return starlette.responses.Response()

    routes = [starlette.routing.Route("/pay", handle, methods=["POST"])]
    with _uvicorn(participant(starlette.applications.Starlette(routes=routes, lifespan=lifespan))) as port:
        yield port


@contextmanager
def flask_service(kind: Kind) -> Iterator[int]:
    app = participant(flask.Flask(__name__))

    @app.post("/pay")
    def handle() -> str:
        barrier = Barrier.from_request(flask.request)
        connection = kind.open(kind.places)
        try:
            barrier.call(connection, work_of(kind, barrier, flask.request.get_data(as_text=True)))
        finally:
            connection.close()
        return ""

    server = werkzeug.serving.make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def tornado_service(kind: Kind) -> Iterator[int]:
    @participant
    class Pay(tornado.web.RequestHandler):
        async def post(self) -> None:
            await pay(kind, self, self.request.body.decode())

    async def start() -> tuple[int, Callable[[], Awaitable[None]]]:
        server = tornado.httpserver.HTTPServer(tornado.web.Application([("/pay", Pay)], log_function=lambda _: None))
        sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
        server.add_sockets(sockets)

        async def stop() -> None:
            server.stop()
            await server.close_all_connections()

        return sockets[0].getsockname()[1], stop

    with _in_a_thread(start) as port:
        yield port


@contextmanager
def aiohttp_service(kind: Kind) -> Iterator[int]:
    async def handle(request: aiohttp.web.Request) -> aiohttp.web.Response:
        await pay(kind, request, await request.text())
        return aiohttp.web.Response()

    async def start() -> tuple[int, Callable[[], Awaitable[None]]]:
        app = participant(aiohttp.web.Application())
        app.router.add_post("/pay", handle)
        runner = aiohttp.web.AppRunner(app)
        await runner.setup()
        await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner.addresses[0][1], runner.cleanup

    with _in_a_thread(start) as port:
        yield port


@contextmanager
def _uvicorn(app: Any) -> Iterator[int]:
    async def start() -> tuple[int, Callable[[], Awaitable[None]]]:
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)

        async def stop() -> None:
            server.should_exit = True
            await task

        return server.servers[0].sockets[0].getsockname()[1], stop

    with _in_a_thread(start) as port:
        yield port


@contextmanager
def _in_a_thread(start: Callable[[], Awaitable[tuple[int, Callable[[], Awaitable[None]]]]]) -> Iterator[int]:
    """The port of a server that `start` starts in a loop of its own; it gives the port and what stops it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    port, stop = asyncio.run_coroutine_threadsafe(_awaited(start()), loop).result(20)
    try:
        yield port
    finally:
        asyncio.run_coroutine_threadsafe(_awaited(stop()), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _awaited(what: Awaitable[Any]) -> Any:
    return await what


SERVICES = {
    "FastAPI": (fastapi_service, "AsyncSession mysql+asyncmy"),
    "Starlette": (starlette_service, "asyncpg"),
    "Flask": (flask_service, "pymysql"),
    "Tornado": (tornado_service, "psycopg async"),
    "aiohttp": (aiohttp_service, "aiosqlite"),
}
"""framework -> (the service, the kind of connection it uses)."""
