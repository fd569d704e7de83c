"""Whether this node lives, whether it is ready, and what it is."""

from __future__ import annotations

from importlib.metadata import version

from dtm.core.errors import DtmError, StoreUnavailable
from dtm.core.web.base import BaseHandler
from dtm.core.web.replies import error_reply

VERSION = {"version": f"v{version('dtm-coordinator')}"}


class Ping(BaseHandler):
    """An old sign of life, by any method."""

    public = True

    def get(self) -> None:
        """ANY /api/ping."""
        self.reply(dict(msg="pong"))  # noqa: C408 - the quoted key would look like a protocol name in here

    post = put = delete = patch = options = get


class Healthz(BaseHandler):
    """The process lives. It says nothing about the store: restarting this node would not bring that back."""

    public = True

    def get(self) -> None:
        """GET /healthz."""
        self.reply({"status": "ok"})


class Readyz(BaseHandler):
    """New work is welcome here: 200, else 503 with the reason."""

    public = True

    async def get(self) -> None:
        """GET /readyz."""
        try:
            await self.service.ready()
        except DtmError as error:  # said, not logged: probes come each second, and whoever meets the trouble logs it
            status, body = error_reply(StoreUnavailable(str(error)))
            self.finish(body, status)
        else:
            self.reply({"status": "ok"})


class Version(BaseHandler):
    """Which release this is."""

    def get(self) -> None:
        """GET version."""
        self.reply(VERSION)
