"""From a validated request to branches that are fit to be stored: a stranger's function is run, and not believed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from dtm.core.errors import InvalidRequest, ProtocolFault
from dtm.core.model import Branch
from dtm.core.protocol import Protocol, Request
from dtm.core.registry import Registered
from dtm.core.service.intake import CONTROL
from dtm.core.transport.base import Transport

URL_KEYS = ("query_prepared",)
"""Body keys of the common wire that hold a url, though no branch does."""

Make = Callable[[Request], Iterable[Branch]]


class UnreadTopic(Exception):
    """A plugin asked for a topic that has not been read yet."""


class Branching:
    """Runs `expand` and `register`. InvalidRequest: the client's fault. ProtocolFault: the plugin's."""

    def __init__(self, transport: Transport) -> None:
        self.problem_with = lru_cache(maxsize=1024)(transport.problem_with)

    def expanded(self, request: Request, registered: Registered) -> tuple[Branch, ...]:
        """The branches that prepare or submit makes. UnreadTopic: they depend on a topic that is to be read first."""
        for key in URL_KEYS:
            if (url := request.body.get(key)) and (problem := self.problem_with(url)):
                raise InvalidRequest(f"/{key}", problem)
        return self.made(registered.protocol.expand, request, registered)

    def made(self, make: Make, request: Request, registered: Registered) -> tuple[Branch, ...]:
        """What this function makes of a request; a bad url is reported where it stands in the body."""
        protocol = registered.protocol
        try:
            branches = tuple(make(request))
        except (InvalidRequest, UnreadTopic):
            raise
        except Exception as error:
            raise _fault(protocol, f"{make.__name__} raised {type(error).__name__}: {error}") from error
        for branch in branches:
            if not isinstance(branch, Branch):
                raise _fault(protocol, f"{make.__name__} made a {type(branch).__name__}, not a dtm.Branch")
            if not isinstance(branch.payload, bytes) or not isinstance(branch.url, str):
                raise _fault(protocol, "a branch has a payload that is no bytes, or a url that is no str")
            if branch.op not in protocol.ops:
                raise _fault(protocol, f"a branch has the operation {branch.op!r}, which it does not define")
            if not _fit(branch.branch_id):
                raise InvalidRequest("/branch_id", "expected 1 to 128 characters, none of them a control character")
            if branch.url and (problem := self.problem_with(branch.url)):
                raise InvalidRequest(_pointer_to(branch.url, request.body) or "", problem)
        if len({(branch.branch_id, branch.op) for branch in branches}) != len(branches):
            raise InvalidRequest("", "two branches have the same branch_id and op")
        return branches


def _fault(protocol: Protocol, text: str) -> ProtocolFault:
    return ProtocolFault(f"protocol {protocol.name}: {text}")


@lru_cache(maxsize=1024)
def _fit(branch_id: str) -> bool:
    return 0 < len(branch_id) <= 128 and CONTROL.search(branch_id) is None


def _pointer_to(wanted: str, value: Any, pointer: str = "") -> str | None:
    """Where a string stands in a body, as a JSON pointer."""
    if value == wanted and isinstance(value, str):
        return pointer
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    for key, item in items:
        found = _pointer_to(wanted, item, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")
        if found is not None:
            return found
    return None
