"""The verbs: what a client asks the coordinator to do with a transaction."""

from __future__ import annotations

from dtm.core.web.base import BaseHandler


class NewGid(BaseHandler):
    """A fresh identifier."""

    def get(self) -> None:
        """GET newGid."""
        self.reply({"dtm_result": "SUCCESS", "gid": self.service.new_gid()})


class Prepare(BaseHandler):
    """Create a transaction that waits for its decision."""

    async def post(self) -> None:
        """POST prepare."""
        await self.service.verbs.prepare(self.json_body())
        self.succeed()


class WaitingVerb(BaseHandler):
    """A verb that clients of 2021 ask to wait with `?wait_result=1`; newer ones say it in the body."""

    @property
    def wait(self) -> bool:
        """Whether the query asks for it."""
        return self.text("wait_result") == "1"


class Submit(WaitingVerb):
    """Decide for a transaction, creating it where prepare did not."""

    async def post(self) -> None:
        """POST submit."""
        await self.service.verbs.submit(self.json_body(), self.wait)
        self.succeed()


class Abort(WaitingVerb):
    """Decide against a transaction."""

    async def post(self) -> None:
        """POST abort."""
        await self.service.verbs.abort(self.json_body(), self.wait)
        self.succeed()


class ForceStop(BaseHandler):
    """End a transaction without calling anybody."""

    operator = True

    async def post(self) -> None:
        """POST forceStop."""
        await self.service.verbs.force_stop(self.json_body())
        self.succeed()


class RegisterBranch(BaseHandler):
    """Add a branch to a prepared transaction; the aliases of 2021 name the transaction's type in the path."""

    async def post(self, kind: str) -> None:
        """POST register<Kind>Branch, or registerBranch."""
        await self.service.verbs.register_branch(self.json_body(), kind.lower() or None)
        self.succeed()
