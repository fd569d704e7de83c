"""A reply whose head has been read before reads as the parser would read it, and nothing else is known by its head."""

from __future__ import annotations

import pytest

from dtm.core.transport import heads
from dtm.core.transport.base import CallFailed, Reply
from dtm.core.transport.reply import ReplyReader

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(heads, "_known", {})


def read(data: bytes, reader: ReplyReader | None = None) -> Reply | None:
    reader = reader or ReplyReader()
    reader.start()
    return reader.feed(data)


def test_a_known_head_with_another_body():
    assert heads.known(HEAD + b"hi") is None
    assert read(HEAD + b"hi") == Reply(200, b"hi")
    assert heads.known(HEAD + b"no") == Reply(200, b"no")


@pytest.mark.parametrize("body", [b"", b"x", b"xyz"])
def test_a_known_head_with_more_or_less_after_it_is_left_to_the_parser(body):
    read(HEAD + b"hi")
    assert heads.known(HEAD + body) is None


def test_known_and_unknown_replies_one_after_another():
    reader = ReplyReader()
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
    for data, body in ((HEAD + b"hi", b"hi"), (HEAD + b"no", b"no"), (chunked, b"ab"), (HEAD + b"hi", b"hi")):
        assert read(data, reader) == Reply(200, body)
        assert reader.began
        assert reader.keep_alive


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"hi",
        HEAD + b"hi" + HEAD,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * heads.LONGEST + b"\r\nContent-Length: 2\r\n\r\nhi",
    ],
)
def test_what_is_not_remembered(data):
    assert read(data) is not None
    assert heads.known(data) is None


def test_a_reply_in_pieces_is_not_remembered():
    reader = ReplyReader()
    assert read(HEAD, reader) is None
    assert reader.feed(b"hi") == Reply(200, b"hi")
    assert heads.known(HEAD + b"hi") is None


def test_a_reply_that_cannot_be_used_is_not_remembered():
    data = HEAD.replace(b"Content-Length", b"Content-Encoding: br\r\nContent-Length") + b"hi"
    for _ in range(2):
        with pytest.raises(CallFailed):
            read(data)


def test_only_so_many_heads_are_known():
    for number in range(heads.MOST + 1):
        read(HEAD.replace(b"OK", b"%d" % number) + b"hi")
    assert len(heads._known) == 1
