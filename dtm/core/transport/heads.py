"""Replies told by their head alone: a participant's differ in their Date, so most of a second's have been read before.

What is known was read whole by the parser, and its length told by Content-Length: a reply with the same head, and
exactly as many bytes after it, reads the same.
"""

from __future__ import annotations

from dtm.core.transport.base import Reply, new_reply

MOST, LONGEST = 256, 1024
"""Heads that are known at once, and bytes of a head worth knowing."""

_END = b"\r\n\r\n"
_known: dict[bytes, tuple[int, int]] = {}
"""Status and length of the body, by head."""


def known(data: bytes) -> Reply | None:
    """The reply that these bytes are, if they are a whole one whose head is known. Its connection is kept alive."""
    head, _, body = data.partition(_END)
    status, length = _known.get(head, (0, -1))
    return new_reply(status, body) if len(body) == length else None


def remember(data: bytes, reply: Reply) -> None:
    """These bytes were the whole reply, neither chunked nor encoded, and its connection is kept alive."""
    head, _, body = data.partition(_END)
    if len(head) > LONGEST or body != reply.body:
        return  # long, or an interim reply stands before it
    if len(_known) >= MOST:
        _known.clear()
    _known[head] = (reply.status, len(body))
