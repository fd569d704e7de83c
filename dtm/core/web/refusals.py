"""What a client hears that sends no HTTP, or too much of it: in the API's form, and the last on its connection."""

from __future__ import annotations

from http import HTTPStatus

import orjson


class Unfit(Exception):
    """What came is no request: `reply` is said, and the connection closed."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply.partition(b"\r\n")[0].decode())
        self.reply = reply


def _refusal(status: HTTPStatus, message: str) -> bytes:
    body = orjson.dumps({"message": message})
    head = (
        f"HTTP/1.1 {status} {status.phrase}\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


MALFORMED = _refusal(HTTPStatus.BAD_REQUEST, "no proper HTTP/1.1 request, or one with a body of more than 64 MiB")
UNKNOWN_METHOD = _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "Method Not Allowed")
LARGE_HEADERS = _refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "request line and headers have more than 16 KiB")
