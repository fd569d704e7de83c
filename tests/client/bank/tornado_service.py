"""A bank in Tornado, with sqlite3: its calls wait for one another, as its database would have them do anyway."""

import asyncio
import json
import sys
from contextlib import closing

import tornado.web

from dtm.client import Barrier
from dtm.client.web import participant
from tests.client.bank.books import TABLE, Books

books = Books(sys.argv[2])


@participant
class Move(tornado.web.RequestHandler):
    def post(self) -> None:
        barrier, order = Barrier.from_request(self, table=TABLE), json.loads(self.request.body)
        with closing(books.connect()) as connection:
            barrier.call(connection, lambda connection: books.move(connection, barrier, order))


@participant
class Local(tornado.web.RequestHandler):
    def get(self) -> None:
        with closing(books.connect()) as connection:
            Barrier.from_request(self, table=TABLE).query_prepared(connection)


async def main() -> None:
    tornado.web.Application([("/move", Move), ("/local", Local)]).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
