"""Participants answer by raising: Failure is 409, Ongoing 425, anything else 500; returning is 200.

    app = participant(FastAPI())

No framework is imported before it is used.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any, TypeVar

from dtm.client.errors import Failure, Ongoing

P = TypeVar("P")


def participant(target: P) -> P:
    """Have an application answer by what its handlers raise; the application.

    It is one of FastAPI, Starlette, Flask (or a Blueprint) or aiohttp; of Tornado it is a class of handlers, which this
    can decorate. What is neither Failure nor Ongoing, such as an ExceptionGroup with one inside, is left to the
    framework, which logs it and answers 500. That, and also FastAPI's own 422, is no refusal: the call comes again.
    TypeError: it is nothing of these.
    """
    if hasattr(target, "add_exception_handler"):
        for kind in (Failure, Ongoing):
            target.add_exception_handler(kind, _answer_of_starlette)
    elif hasattr(target, "register_error_handler"):
        for kind in (Failure, Ongoing):
            target.register_error_handler(kind, _answer_of_flask)
    elif hasattr(target, "middlewares"):
        target.middlewares.append(import_module("aiohttp.web").middleware(_middleware_of_aiohttp))
    elif isinstance(target, type) and hasattr(target, "send_error"):
        _decorate_tornado(target)
    else:
        raise TypeError(
            "expected an application of FastAPI, Starlette, Flask or aiohttp, or a class of Tornado's handlers, "
            f"got {target!r}"
        )
    return target


def answer_of(error: Failure | Ongoing) -> tuple[dict[str, str], int]:
    """The body and the status that tell a coordinator.

    Servers before 2022, and some of today, look for the words in the whole body: a refusal must not say ONGOING.
    """
    message = str(error).encode(errors="replace").decode()  # what UTF-8 cannot say must not turn the answer into a 500
    if isinstance(error, Ongoing):
        return {"dtm_result": "ONGOING", "message": message}, 425
    return {"dtm_result": "FAILURE", "message": message.replace("ONGOING", "ongoing")}, 409


async def _answer_of_starlette(request: Any, error: Any) -> Any:
    body, status = answer_of(error)
    return import_module("starlette.responses").JSONResponse(body, status)


def _answer_of_flask(error: Any) -> tuple[dict[str, str], int]:
    return answer_of(error)


async def _middleware_of_aiohttp(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
    try:
        return await handler(request)
    except (Failure, Ongoing) as error:
        body, status = answer_of(error)
        return import_module("aiohttp.web").json_response(body, status=status)


def _decorate_tornado(handlers: Any) -> None:
    """Tornado has no place for errors but the handlers themselves."""
    send_error, log_exception = handlers.send_error, handlers.log_exception

    def answering(self: Any, status_code: int = 500, **details: Any) -> None:
        error = (details.get("exc_info") or (None, None))[1]
        if isinstance(error, Failure | Ongoing) and not self._headers_written:
            body, status = answer_of(error)
            self.clear()
            self.set_status(status)
            self.finish(body)
        else:
            send_error(self, status_code, **details)

    def logging(self: Any, kind: Any, error: Any, traceback: Any) -> None:
        if not isinstance(error, Failure | Ongoing):
            log_exception(self, kind, error, traceback)

    handlers.send_error, handlers.log_exception = answering, logging
