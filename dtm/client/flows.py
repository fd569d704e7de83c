"""What a client does, without doing it: generators that yield requests and pauses, and are sent the replies.

`Client` and `AsyncClient` carry them out, each in its way; nothing in here opens a socket, sleeps or awaits.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

from dtm.client.errors import InvalidRequest, OutcomeUnknown, Unreachable

T = TypeVar("T")

API = "/api/dtmsvr"
PAUSE_FIRST, PAUSE_MOST = 0.1, 2.0
EXCERPT = 300
LAST_LOOK = 1.0
"""A request that is sent shortly before the time is over may still take so many seconds."""


@dataclass(frozen=True, slots=True)
class Send:
    """An HTTP request; `yield` gives its Reply, or raises NotSent or Lost. most: s that it may take, None: as usual."""

    method: str
    url: str
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    most: float | None = None


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

    @property
    def excerpt(self) -> str:
        """What it says, in one line for a message: the `message` of a JSON object, or how the text begins."""
        body = self.json()
        message = body.get("message") if isinstance(body, dict) else None
        return " ".join(str(message or self.content.decode(errors="replace")).split())[:EXCERPT]


PAUSED = Reply(0, b"")
"""What comes of a pause: nothing."""


class NotSent(Exception):
    """Not a byte of the request has left."""


class Lost(Exception):
    """The request may have arrived; no answer came."""


Flow = Generator[Send | Pause, Reply, T]


@dataclass(frozen=True, slots=True)
class Answer:
    """A certain answer of the coordinator at this url. `repeated`: an earlier try may have arrived as well."""

    url: str
    status: int
    body: Mapping[str, Any]
    repeated: bool = False

    @property
    def message(self) -> str:
        """What the server says about it."""
        return str(self.body.get("message", "")) or f"HTTP status {self.status} from {self.url}"


class Wire:
    """The coordinators that a client knows; one that does not answer is left for the next one.

    tries: how often a request is sent at most before it is given up. token: sent as a bearer token unless empty.
    """

    def __init__(self, urls: Sequence[str], token: str, tries: int) -> None:
        if not urls or tries < 1:
            raise ValueError("expected at least one url and one try")
        self.urls = list(urls)
        self.tries = tries
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._at = 0

    @property
    def url(self) -> str:
        """The coordinator in use: what participants are told as `dtm`."""
        return self.urls[self._at] + API

    def write(self, path: str, body: Mapping[str, Any]) -> Flow[Answer]:
        """A request that changes something, the same again until an answer is certain.

        That is safe: whatever is asked twice under one gid happens once. OutcomeUnknown, Unreachable; InvalidRequest:
        it cannot be sent.
        """
        try:
            content = json.dumps(body, ensure_ascii=False).encode()
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"the request is not JSON: {error}") from error
        return self._ask(path, "POST", content, writes=True)

    def read(self, path: str, until: float | None = None, **query: str) -> Flow[Answer]:
        """A request that changes nothing, given up at this time of the monotonic clock. Unreachable."""
        return self._ask(f"{path}?{urlencode(query)}" if query else path, "GET", None, writes=False, until=until)

    def _ask(
        self, path: str, method: str, content: bytes | None, *, writes: bool, until: float | None = None
    ) -> Flow[Answer]:
        unknown, pause = False, PAUSE_FIRST
        trouble: dict[str, str] = {}  # url -> what its last try has come to
        for attempt in range(self.tries):
            if attempt and attempt % len(self.urls) == 0:
                yield Pause(pause)
                pause = min(pause * 2, PAUSE_MOST)
            at = self._at
            url, most = f"{self.urls[at]}{API}/{path}", _left(until)
            try:
                reply = yield Send(method, url, content, self._headers, most)
            except NotSent as error:
                trouble[self.urls[at]] = str(error)
            except Lost as error:
                unknown, trouble[self.urls[at]] = writes, str(error)
            else:
                answer = _answer(reply, self.urls[at], repeated=unknown)
                if answer is not None:
                    return answer
                trouble[self.urls[at]] = f"HTTP status {reply.status}: {reply.excerpt}"
                unknown = unknown or (writes and reply.status not in (429, 503))
            if self._at == at:  # another thread may have gone on already
                self._at = (at + 1) % len(self.urls)
            if until is not None and time.monotonic() >= until:
                break
        told = "; ".join(f"{url}: {text}" for url, text in trouble.items())
        if unknown:
            raise OutcomeUnknown(f"no certain answer after {attempt + 1} tries: {told}")
        raise Unreachable(f"no coordinator answered in {attempt + 1} tries: {told}")


def _left(until: float | None) -> float | None:
    return None if until is None else max(until - time.monotonic(), LAST_LOOK)


def _answer(reply: Reply, url: str, *, repeated: bool) -> Answer | None:
    """None: it is none of a coordinator that works. A 200 that is no JSON object is the page of something else."""
    body = reply.json()
    if reply.status == 429 or reply.status >= 500 or (reply.status == 200 and not isinstance(body, dict)):
        return None
    return Answer(url, reply.status, body if isinstance(body, dict) else {}, repeated)
