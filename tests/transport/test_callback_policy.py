"""`callbacks.allow`, pattern by pattern."""

from __future__ import annotations

import pytest

from dtm.core.transport.allow import CallbackPolicy

FORBIDDEN = [
    "169.254.0.1",
    "169.254.169.254",
    "fe80::1",
    "fe80::1%eth0",
    "febf::1",
    "::ffff:169.254.169.254",
    "0.0.0.0",
    "::",
    "::ffff:0.0.0.0",
    "224.0.0.1",
    "239.255.255.250",
    "ff02::1",
]


@pytest.mark.parametrize("address", FORBIDDEN)
@pytest.mark.parametrize("allow", [None, ["*"], ["*:*", "h"], ["0.0.0.0/0", "::/0"], ["10.0.0.0/8"], []])
def test_never_by_accident(allow, address):
    assert not CallbackPolicy(allow).permits("h", 80, address)


@pytest.mark.parametrize(
    ("pattern", "address", "permitted"),
    [
        ("169.254.0.0/16", "169.254.169.254", True),
        ("169.254.169.254", "169.254.169.254", True),
        ("169.254.169.254/32", "::ffff:169.254.169.254", True),
        ("169.254.169.254", "169.254.169.253", False),
        ("fe80::/10", "fe80::1", True),
        ("fe80::/9", "fe80::1", False),
        ("169.252.0.0/14", "169.254.169.254", False),
        ("224.0.0.0/4", "224.0.0.1", True),
    ],
)
def test_only_by_a_network_of_their_own(pattern, address, permitted):
    assert CallbackPolicy(["*", pattern]).permits("h", 80, address) is permitted


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "8.8.8.8", "::1", "2001:db8::1", "::ffff:127.0.0.1"])
def test_unset_permits_everything_else(address):
    assert CallbackPolicy(None).permits("h", 80, address)
    assert not CallbackPolicy([]).permits("h", 80, address)


@pytest.mark.parametrize(
    ("pattern", "host", "port", "address", "permitted"),
    [
        ("10.0.0.0/8", "h", 80, "10.255.0.1", True),
        ("10.0.0.0/8", "h", 80, "11.0.0.1", False),
        ("10.0.0.0/8", "10.0.0.1", 80, "::ffff:10.0.0.1", True),
        ("10.0.0.0/8", "10.0.0.1", 80, "192.168.0.1", False),
        ("127.0.0.1", "localhost", 80, "127.0.0.1", True),
        ("::1", "localhost", 80, "::1", True),
        ("2001:db8::/32", "h", 80, "2001:db8:1::1", True),
        ("a.test", "a.test", 8080, "10.0.0.1", True),
        ("A.Test", "a.test", 8080, "10.0.0.1", True),
        ("a.test", "b.test", 8080, "10.0.0.1", False),
        ("a.test", "a.test.evil", 8080, "10.0.0.1", False),
        ("a.test", "xa.test", 8080, "10.0.0.1", False),
        ("a.test", "axtest", 8080, "10.0.0.1", False),
        ("*.a.test", "x.y.a.test", 8080, "10.0.0.1", True),
        ("*.a.test", "a.test", 8080, "10.0.0.1", False),
        ("shop-?.svc", "shop-1.svc", 80, "10.0.0.1", True),
        ("shop-?.svc", "shop-12.svc", 80, "10.0.0.1", False),
        ("a.test:8080", "a.test", 8080, "10.0.0.1", True),
        ("a.test:8080", "a.test", 80, "10.0.0.1", False),
        ("a.test:*", "a.test", 80, "10.0.0.1", True),
        ("127.0.0.1:8081", "127.0.0.1", 8081, "127.0.0.1", True),
        ("127.0.0.1:8081", "127.0.0.1", 8082, "127.0.0.1", False),
        ("127.0.0.1:8081", "localhost", 8081, "127.0.0.1", False),
        ("[::1]:8081", "::1", 8081, "::1", True),
        ("[::1]", "::1", 8081, "::1", True),
        ("*", "::1", 8081, "::1", True),
    ],
)
def test_patterns(pattern, host, port, address, permitted):
    assert CallbackPolicy([pattern]).permits(host, port, address) is permitted
    assert CallbackPolicy(("never.test", pattern)).permits(host, port, address) is permitted


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        " ",
        "a b",
        "http://a.test",
        "a.test/x",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "a:0",
        "a:65536",
        "a:x",
        "a:",
        "[ab",
        "ä",
    ],
)
def test_bad_pattern_is_named(pattern):
    with pytest.raises(ValueError, match=r"^callbacks\.allow: ") as caught:
        CallbackPolicy(["a.test", pattern])
    assert repr(pattern) in str(caught.value)
