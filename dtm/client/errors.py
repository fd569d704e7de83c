"""What can come of a request, by meaning. A participant raises `Failure` and `Ongoing` itself, to answer by them."""

from __future__ import annotations

from dataclasses import dataclass


class DtmError(Exception):
    """Anything that this package raises on purpose."""


class Failure(DtmError):
    """The business said no: the transaction was, or is being, rolled back. `status`: how it is stored, "" if not said.

    Raised by a participant, it becomes the answer 409: refused, roll back.
    """

    def __init__(self, message: str = "", status: str = "") -> None:
        super().__init__(message)
        self.status = status


class Ongoing(DtmError):
    """Not ended yet: it goes on and may still succeed. Raised by a participant, it becomes 425: call again later."""


class Duplicated(DtmError):
    """The local transaction of a message has been committed already, or a check-back was told that it is not."""


class Conflict(DtmError):
    """The coordinator has a transaction of this gid whose `status` does not allow this, or one of other content.

    Also, to a registration: it has none of this gid, for nobody prepared it, or another coordinator has it.
    """

    def __init__(self, message: str = "", status: str = "") -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a request: a JSON pointer into its body, and what was expected there."""

    pointer: str
    message: str


class InvalidRequest(DtmError):
    """The request is malformed, and nothing was stored: `faults` says what is wrong, as far as the server does."""

    def __init__(self, message: str, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__("; ".join(f"{fault.pointer}: {fault.message}" for fault in faults) or message)
        self.faults = faults


class Unauthorized(DtmError):
    """The coordinator knows no such token, or it may not do this. Nothing was stored."""


class NotFound(DtmError):
    """The coordinator has no such transaction or topic."""


class OutcomeUnknown(DtmError):
    """No certain answer came: it may be stored. The same request with the same gid again will tell.

    To a submit that has succeeded by then the answer is a Conflict whose `status` is "succeed".
    """


class Unreachable(DtmError):
    """No coordinator took the request: certainly nothing was stored."""


class ParticipantError(DtmError):
    """A participant that was called from here answered neither yes nor no; whether it did anything is not known.

    `http_status`: its answer, 0 when none came.
    """

    def __init__(self, message: str, http_status: int = 0) -> None:
        super().__init__(message)
        self.http_status = http_status
