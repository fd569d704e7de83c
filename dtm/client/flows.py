"""What a client does, without doing it: generators that yield requests and pauses, and are sent the replies.

`Client` and `AsyncClient` carry them out, each in its way; nothing in here opens a socket, sleeps or awaits.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

from dtm.client.errors import OutcomeUnknown, Unreachable

T = TypeVar("T")

API = "/api/dtmsvr"
PAUSE_FIRST, PAUSE_MOST = 0.1, 2.0


@dataclass(frozen=True, slots=True)
class Send:
    """An HTTP request; `yield` gives its Reply, or raises NotSent or Lost."""

    method: str
    url: str
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to an HTTP request."""

    status: int
    content: bytes

    def json(self) -> Any:
        """The body as JSON; None when it is none."""
        try:
            return json.loads(self.content)
        except ValueError:
            return None


PAUSED = Reply(0, b"")
"""What comes of a pause: nothing."""


class NotSent(Exception):
    """Not a byte of the request has left."""


class Lost(Exception):
    """The request may have arrived; no answer came."""


Flow = Generator[Send | Pause, Reply, T]


@dataclass(frozen=True, slots=True)
class Answer:
    """A certain answer of a coordinator. `repeated`: an earlier try of the same request may have arrived as well."""

    status: int
    body: Mapping[str, Any]
    repeated: bool = False

    @property
    def message(self) -> str:
        """What the server says about it."""
        return str(self.body.get("message", "")) or f"HTTP status {self.status}"


class Wire:
    """The coordinators that a client knows; one that does not answer is left for the next one.

    tries: how often a request is sent at most before it is given up. token: sent as a bearer token unless empty.
    """

    def __init__(self, urls: Sequence[str], token: str, tries: int) -> None:
        if not urls or tries < 1:
            raise ValueError("expected at least one url and one try")
        self.urls = [url.rstrip("/") for url in urls]
        self.tries = tries
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._at = 0

    @property
    def url(self) -> str:
        """The coordinator in use: what participants are told as `dtm`."""
        return self.urls[self._at] + API

    def write(self, path: str, body: Mapping[str, Any]) -> Flow[Answer]:
        """A request that changes something, the same again until an answer is certain.

        That is safe: whatever is asked twice under one gid happens once. OutcomeUnknown, Unreachable.
        """
        return self._ask(path, "POST", json.dumps(body, ensure_ascii=False).encode(), writes=True)

    def read(self, path: str, **query: str) -> Flow[Answer]:
        """A request that changes nothing. Unreachable."""
        return self._ask(f"{path}?{urlencode(query)}" if query else path, "GET", None, writes=False)

    def _ask(self, path: str, method: str, content: bytes | None, *, writes: bool) -> Flow[Answer]:
        unknown, trouble, pause = False, "", PAUSE_FIRST
        for attempt in range(self.tries):
            if attempt and attempt % len(self.urls) == 0:
                yield Pause(pause)
                pause = min(pause * 2, PAUSE_MOST)
            at = self._at
            try:
                reply = yield Send(method, f"{self.url}/{path}", content, self._headers)
            except NotSent as error:
                trouble = str(error)
            except Lost as error:
                unknown, trouble = writes, str(error)
            else:
                answer = _answer(reply, repeated=unknown)
                if reply.status != 429 and reply.status < 500:
                    return answer
                trouble = answer.message
                unknown = unknown or (writes and reply.status not in (429, 503))
            if self._at == at:  # another thread may have gone on already
                self._at = (at + 1) % len(self.urls)
        if unknown:
            raise OutcomeUnknown(f"no certain answer after {self.tries} tries: {trouble}")
        raise Unreachable(f"no coordinator answered in {self.tries} tries: {trouble}")


def _answer(reply: Reply, *, repeated: bool) -> Answer:
    body = reply.json()
    return Answer(reply.status, body if isinstance(body, dict) else {}, repeated)
