"""The yardstick: a bare Tornado handler on uvloop that parses the same body and answers, storing nothing."""

from __future__ import annotations

import asyncio
import sys

import orjson
import uvloop
from tornado.web import Application, RequestHandler


class Submit(RequestHandler):
    """Parses, answers."""

    def post(self, verb: str) -> None:
        """Any verb."""
        orjson.loads(self.request.body)["gid"]
        self.finish(b'{"dtm_result":"SUCCESS"}')


class Ping(RequestHandler):
    """A sign of life."""

    def get(self) -> None:
        """Pong."""
        self.finish(b'{"msg":"pong"}')


async def serve(port: int) -> None:
    """Serve until killed."""
    Application([("/api/dtmsvr/(.+)", Submit), ("/api/ping", Ping)]).listen(port, "127.0.0.1")
    sys.stdout.write(f"ready on http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
