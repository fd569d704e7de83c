"""Which URLs can be called, and where they lead."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtm.core.model import Branch
from dtm.core.transport.origin import split
from dtm.core.transport.wire import outgoing, url_problem


@pytest.mark.parametrize(
    "url",
    [
        "http://h",
        "HTTPS://Example.com:443/a?b#c",
        "http://127.0.0.1:8081/api?x=http://y@z/",
        "http://[::1]:1/",
        "http://[2001:DB8::1]",
        "http://a_b-c.svc.cluster.local.:65535/",
        "http://h/ü?ö",
        "http://h?x",
        "http://h/" + "x" * 2039,
    ],
)
def test_usable_url(url):
    assert url_problem(url) is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "not an absolute"),
        ("h", "not an absolute"),
        ("/path", "not an absolute"),
        ("//h/path", "not an absolute"),
        ("http:/h", "not an absolute"),
        ("ftp://h/", "not an absolute"),
        ("topic://x", "not an absolute"),
        ("://h", "not an absolute"),
        ("http://", "no host"),
        ("http:///path", "no host"),
        ("http://:80/", "no host"),
        ("http://?x", "no host"),
        ("http://user@h/", "user name"),
        ("http://a:b@h/", "user name"),
        ("http://h@/", "user name"),
        ("http://h /", "space"),
        (" http://h/", "space"),
        ("http://h/\n", "space"),
        ("http://h/\t", "space"),
        ("http://h/a\xa0b", "space"),
        ("http://h/\x00", "control"),
        ("http://h/\x7f", "control"),
        ("http://h/\ud800", "half a character"),
        ("http://h/" + "x" * 2040, "longer than 2048"),
        ("http://h:0/", "port"),
        ("http://h:65536/", "port"),
        ("http://h:-1/", "port"),
        ("http://h:/", "port"),
        ("http://h:8 0/", "space"),
        ("http://h:١/", "port"),
        ("http://h:x/", "port"),
        ("http://h:1:2/", "port"),
        ("http://::1/", "no host"),
        ("http://a::1/", "port"),
        ("http://[::1/", "brackets"),
        ("http://::1]/", "no host"),
        ("http://[::1]x/", "brackets"),
        ("http://[[::1]]/", "brackets"),
        ("http://[]/", "no IPv6"),
        ("http://[127.0.0.1]/", "no IPv6"),
        ("http://[fe80::1%eth0]/", "no IPv6"),
        ("http://[::g]/", "no IPv6"),
        ("http://münchen.de/", "xn--"),
        ("http://h%41/", "no valid name"),
        ("http://good\\evil/", "no valid name"),
        ("http://a..b/", "no valid name"),
        ("http://.a/", "no valid name"),
        ("http://" + "a" * 64 + "/", "no valid name"),
        ("http://" + "a." * 128 + "/", "no valid name"),
        ("http://a,b/", "no valid name"),
    ],
)
def test_unusable_url(url, problem):
    assert problem in (url_problem(url) or "")


@given(url=st.one_of(st.text(max_size=60), st.text("htp:/[]@#?.1a%\\ ", max_size=30).map("http://".__add__)))
def test_what_has_no_problem_can_be_called(url):
    if url_problem(url) is None:
        branch = Branch("01", "action", url)
        sent = outgoing(
            gid="g",
            trans_type="t",
            branch=branch,
            always_post=False,
            branch_headers={},
            branch_type=True,
            timeout=3.0,
        )
        origin, target = split(sent.url)
        assert target.isascii()
        assert " " not in target
        assert origin == split(url)[0]
        assert origin.key == f"{origin.scheme}://{origin.place}"
        assert urlsplit(url).hostname == origin.host or ":" in origin.host
