"""The error tree; each class carries its HTTP meaning (contract, section 0; invariants: "HTTP meaning of answers")."""

from __future__ import annotations


class DtmError(Exception):
    """Anything that dtm itself refuses or could not do; `http_status` is how the API says it."""

    http_status = 500


class InvalidRequest(DtmError):
    """The request is malformed: certainly not accepted, nothing stored (400).

    `pointer` is a JSON pointer into the request body (`/steps/0/action`), `message` says what was expected there.
    Plugins raise it from `expand` and `register` for what a schema cannot say.
    """

    http_status = 400

    def __init__(self, pointer: str, message: str, *more: tuple[str, str]) -> None:
        super().__init__(f"{pointer or '/'}: {message}" if pointer else message)
        self.errors: tuple[tuple[str, str], ...] = ((pointer, message), *more)


class Unauthorized(DtmError):
    """Tokens are configured and the request carries none that is known (401)."""

    http_status = 401


class Forbidden(DtmError):
    """The token is known, but its role may not do this (403)."""

    http_status = 403


class NotFound(DtmError):
    """No such transaction or topic (404)."""

    http_status = 404


class Conflict(DtmError):
    """A certain conflict with what is stored (409): a business answer. `status` is the stored status, or None."""

    http_status = 409

    def __init__(self, message: str, status: str | None = None) -> None:
        super().__init__(message)
        self.status = status


class NotAllowed(Conflict):
    """The transaction's present status does not allow this verb (409)."""


class OtherContent(Conflict):
    """The gid is that of another transaction, which differs at this JSON pointer (409)."""

    def __init__(self, pointer: str, message: str, status: str) -> None:
        super().__init__(message, status)
        self.pointer = pointer


class NotYet(DtmError):
    """The transaction is stored and under way; the caller that waits hears 425."""

    http_status = 425


class OutcomeUnknown(DtmError):
    """A write left for the database and its fate is not known: it may be stored (500, never 4xx)."""

    http_status = 500


class StoreUnavailable(DtmError):
    """Certainly not stored; try again (503)."""

    http_status = 503


class ProtocolFault(DtmError):
    """A plugin's `expand` or `register` broke: nothing was stored; again after the plugin has been mended (503)."""

    http_status = 503


class StaleVersion(DtmError):
    """A compare-and-set met another version: somebody else changed the row. Never leaves the core."""


class CorruptRow(DtmError):
    """A stored document cannot be read, or is older than one seen before: this transaction stops, loudly."""


class BadPlan(DtmError):
    """A protocol's plan returned nonsense: the transaction is parked with this text, the node lives on."""


class StartupError(DtmError):
    """The coordinator refuses to start; the text is the one clear line the operator reads (exit status 2)."""
