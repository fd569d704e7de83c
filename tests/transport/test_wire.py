"""What is sent, and what a reply means: tables and properties."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtm.core.model import Branch, Outcome
from dtm.core.transport.base import Reply
from dtm.core.transport.wire import legal_header, outcome_of, outgoing, url_problem

SUCCESS, FAILURE, ONGOING, ERROR = Outcome.SUCCESS, Outcome.FAILURE, Outcome.ONGOING, Outcome.ERROR
LETTERS = st.characters(exclude_categories=("Cs", "Cc"))
BODIES = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(str.encode),
    st.lists(st.sampled_from(["FAILURE", "ONGOING", "SUCCESS", " ", "{", '"dtm_result":', '"', "}"])).map(
        lambda words: "".join(words).encode()
    ),
)


def call(url: str = "http://h/p", payload: bytes = b"", **changes):
    arguments = {
        "gid": "g",
        "trans_type": "t",
        "branch": Branch("01", "action", url, payload),
        "always_post": False,
        "branch_headers": {},
        "branch_type": False,
        "timeout": 3.0,
    }
    return outgoing(**(arguments | changes))


QUERY = "branch_id=01&gid=g&op=action&trans_type=t"


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("http://h/p", f"http://h/p?{QUERY}"),
        ("http://h", f"http://h?{QUERY}"),
        ("http://h/p?", f"http://h/p?{QUERY}"),
        ("http://h/p?a=1", f"http://h/p?a=1&{QUERY}"),
        ("http://h/p?a=1&", f"http://h/p?a=1&&{QUERY}"),
        ("http://h/p?gid=x&b", f"http://h/p?gid=x&b&{QUERY}"),
        ("http://h/p?a=?#top?x=1", f"http://h/p?a=?&{QUERY}"),
        ("http://h/p#top", f"http://h/p?{QUERY}"),
        ("http://h/ü/%20?ö=ä", f"http://h/%C3%BC/%20?%C3%B6=%C3%A4&{QUERY}"),
        ("http://[::1]:8081/a|b~(c)", f"http://[::1]:8081/a|b~(c)?{QUERY}"),
    ],
)
def test_parameters_are_appended(url, sent):
    made = call(url)
    assert made.url + made.query == sent


def test_parameters_are_encoded_and_sorted():
    made = call(gid="a b&c=ü/+", trans_type="x y", branch=Branch("01-02", "do it", "http://h/"), branch_type=True)
    query = "branch_id=01-02&branch_type=do+it&gid=a+b%26c%3D%C3%BC%2F%2B&op=do+it&trans_type=x+y"
    assert (made.url, made.query) == ("http://h/?", query)


def test_method_and_body():
    assert (call().method, call().body) == ("GET", b"")
    assert (call(payload=b"null").method, call(payload=b"null").body) == ("POST", b"null")
    assert (call(always_post=True).method, call(always_post=True).body) == ("POST", b"")
    assert (call(timeout=1.5).timeout, call().epoch(), call(epoch=lambda: 7).epoch()) == (1.5, 0, 7)


def test_headers():
    headers = dict(call().headers)
    assert list(headers) == ["Content-Type", "Accept", "User-Agent", "Accept-Encoding"]
    assert headers["Content-Type"] == headers["Accept"] == "application/json"
    assert headers["User-Agent"].startswith("dtm-coordinator/")
    assert headers["Accept-Encoding"] == "gzip"
    given_too = call(branch_headers={"x-test": "1", "content-type": "text/plain"}).headers
    assert dict(given_too) == {
        "Accept": "application/json",
        "User-Agent": headers["User-Agent"],
        "Accept-Encoding": "gzip",
        "x-test": "1",
        "content-type": "text/plain",
    }


@given(gid=st.text(LETTERS, min_size=1, max_size=128), path=st.text(LETTERS, max_size=50), flag=st.booleans())
def test_a_participant_reads_what_was_meant(gid, path, flag):
    url = "http://h:81/" + path.replace("#", "").replace("?", "")
    made = call(url, gid=gid, branch_type=flag)
    assert (made.url + made.query).isascii()
    assert url_problem(url) or not url_problem(made.url + made.query)
    parts = urlsplit(made.url + made.query)
    expected = {"branch_id": "01", "gid": gid, "op": "action", "trans_type": "t"}
    if flag:
        expected["branch_type"] = "action"
    pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
    assert dict(pairs) == expected
    assert [key for key, _ in pairs] == sorted(expected)


PLAIN = [
    (425, b"", ONGOING, "425"),
    (202, b"SUCCESS", ONGOING, "202 SUCCESS"),
    (425, b"FAILURE", ONGOING, "425 FAILURE"),
    (409, b"", FAILURE, "FAILURE"),
    (409, b"ONGOING", FAILURE, "ONGOING FAILURE"),
    (409, b'{"dtm_result":"SUCCESS"}', FAILURE, '{"dtm_result":"SUCCESS"} FAILURE'),
    (409, b"too poor FAILURE\n", FAILURE, "too poor FAILURE"),
    (409, b"too poor. FAILURE FAILURE", FAILURE, "too poor. FAILURE FAILURE"),
    (409, b"FAILURE", FAILURE, "FAILURE"),
    (409, b"\xff", FAILURE, "� FAILURE"),
    (200, b"", SUCCESS, ""),
    (200, b"null", SUCCESS, ""),
    (200, b"anything FAILURE at all", SUCCESS, ""),
    (200, b"FAILURE", FAILURE, "FAILURE"),
    (200, b" FAILURE\r\n", FAILURE, "FAILURE"),
    (204, b"", SUCCESS, ""),
    (201, b"ONGOING", ONGOING, "201 ONGOING"),
    (200, b"SUCCESS", SUCCESS, ""),
    (200, b'"FAILURE"', SUCCESS, ""),
    (200, b'["FAILURE"]', SUCCESS, ""),
    (200, b'{"dtm_result":"SUCCESS"}', SUCCESS, ""),
    (200, b'{"dtm_result":"FAILURE","message":"no"}', FAILURE, '{"dtm_result":"FAILURE","message":"no"} FAILURE'),
    (200, b'\xef\xbb\xbf {"dtm_result": "FAILURE"}', FAILURE, '{"dtm_result": "FAILURE"} FAILURE'),
    (200, b'{"dtm_result":"FAILURE","message":"\xff"}', FAILURE, '{"dtm_result":"FAILURE","message":"�"} FAILURE'),
    (200, b'{"dtm_result":"FAILURE","balance":NaN}', FAILURE, '{"dtm_result":"FAILURE","balance":NaN} FAILURE'),
    (200, b'{"dtm_result":"ONGOING"}', ONGOING, '200 {"dtm_result":"ONGOING"}'),
    (200, b'{"dtm_result":"success"}', ERROR, '200 {"dtm_result":"success"}'),
    (200, b'{"dtm_result":null}', ERROR, '200 {"dtm_result":null}'),
    (200, b'{"dtm_result":["FAILURE"]}', ERROR, '200 {"dtm_result":["FAILURE"]}'),
    (200, b'{"message":"FAILURE"}', SUCCESS, ""),
    (200, b'{"a":{"dtm_result":"FAILURE"}}', SUCCESS, ""),
    (200, b'{"dtm_result":"FAILURE"', SUCCESS, ""),
    (200, b'{"a":' * 100_000, SUCCESS, ""),
    (200, b'{"a":' + b"9" * 5000 + b"}", SUCCESS, ""),
    (299, b"", SUCCESS, ""),
    (300, b"", ERROR, "300"),
    (301, b"SUCCESS", ERROR, "301 SUCCESS"),
    (400, b'{"dtm_result":"FAILURE"}', ERROR, '400 {"dtm_result":"FAILURE"}'),
    (404, b"404 page not found\n", ERROR, "404 404 page not found"),
    (500, b"FAILURE", ERROR, "500 FAILURE"),
]


@pytest.mark.parametrize(("status", "body", "outcome", "text"), PLAIN)
def test_reply(status, body, outcome, text):
    assert outcome_of(Reply(status, body), words=False) == (outcome, text)


@pytest.mark.parametrize(
    ("status", "body", "outcome", "text"),
    [
        (425, b"FAILURE", ONGOING, "425 FAILURE"),
        (409, b"ONGOING", ONGOING, "409 ONGOING"),
        (500, b"is ONGOING, or FAILURE", ONGOING, "500 is ONGOING, or FAILURE"),
        (500, b"a FAILURE b", FAILURE, "a FAILURE b FAILURE"),
        (202, b"FAILURE", FAILURE, "FAILURE"),
        (409, b"", FAILURE, "FAILURE"),
        (200, b"no FAILURE", FAILURE, "no FAILURE"),
        (200, b'{"message":"ONGOING"}', ONGOING, '200 {"message":"ONGOING"}'),
        (200, b"failure", SUCCESS, ""),
        (200, b"", SUCCESS, ""),
        (201, b"", SUCCESS, ""),
        (202, b"", ONGOING, "202"),
        (200, b'{"dtm_result":"what"}', ERROR, '200 {"dtm_result":"what"}'),
        (302, b"", ERROR, "302"),
        (500, b"SUCCESS", ERROR, "500 SUCCESS"),
    ],
)
def test_reply_where_words_count(status, body, outcome, text):
    assert outcome_of(Reply(status, body), words=True) == (outcome, text)


def test_texts_are_cut():
    assert outcome_of(Reply(409, b"x" * 9999), words=False) == (FAILURE, "x" * 1016 + " FAILURE")
    assert outcome_of(Reply(500, b"x" * 9999), words=False) == (ERROR, "500 " + "x" * 1020)


@given(status=st.integers(100, 599), body=BODIES, words=st.booleans())
def test_any_reply_has_a_meaning(status, body, words):
    outcome, text = outcome_of(Reply(status, body), words=words)
    assert len(text) <= 1024
    assert (text == "") is (outcome is SUCCESS)
    assert outcome is not FAILURE or text.endswith("FAILURE")
    if outcome is SUCCESS:
        assert 200 <= status < 300
        assert not (words and (b"FAILURE" in body or b"ONGOING" in body))
    if outcome is FAILURE and not words:
        assert status == 409 or (200 <= status < 300 and b"FAILURE" in body)


OWN = ["Host", "content-length", "Transfer-Encoding", "CONNECTION", "expect", "Upgrade", "tE", "Trailer", "DTM-Epoch"]


@pytest.mark.parametrize(
    ("name", "value", "legal"),
    [
        ("x-test", "a", True),
        ("X_Test!#$%&'*+.^`|~9", "", True),
        ("x-test", "a\tb ü \N{GRINNING FACE}", True),
        ("authorization", "Bearer x", True),
        ("accept-encoding", "identity", True),
        ("", "a", False),
        ("x test", "a", False),
        ("x:", "a", False),
        ("ü", "a", False),
        ("x\n", "a", False),
        ("x", "a\n", False),
        ("x", "a\r\nb: c", False),
        ("x", "\0", False),
        ("x", "\x7f", False),
        ("x", "\x85", False),
        ("x", "\ud800", False),
    ]
    + [
        (name, "a", False)
        for name in (
            "Host",
            "content-length",
            "Transfer-Encoding",
            "CONNECTION",
            "expect",
            "Upgrade",
            "tE",
            "Trailer",
            "DTM-Epoch",
        )
    ],
)
def test_legal_header(name, value, legal):
    assert legal_header(name, value) is legal


@given(name=st.text(max_size=20), value=st.text(max_size=50))
def test_a_legal_header_is_one_line(name, value):
    if legal_header(name, value):
        line = f"{name}: {value}".encode()
        assert line.partition(b":")[0] == name.encode("ascii")
        assert len(line.decode("latin-1").splitlines()) == 1 or not line.isascii()
        assert not set(line) & {0, 10, 13}
