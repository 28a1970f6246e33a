"""A request has one Host, and names no other."""

from functools import partial

import pytest

from service.api.request_head import check_host, is_host, split_target
from tests.api.rules import status_of


@pytest.mark.fault("B21")
@pytest.mark.parametrize(
    "hosts, needs_host, status",
    [(1, True, 200), (2, True, 400), (0, True, 400), (0, False, 200), (2, False, 400)],
)
def test_one_host(hosts: int, needs_host: bool, status: int) -> None:
    headers = [(b"accept", b"*/*"), (b"accept", b"text/html")]
    headers += [(b"host", b"127.0.0.1")] * hosts
    assert status_of(partial(check_host, needs_host=needs_host), headers) == status


HOSTS = [
    *(
        "example.org",
        "example.org.",
        "EXAMPLE.org",
        "localhost",
        "a_b",
        "-",
        "127.0.0.1",
        "a.b:8080",
    ),
    *("example.org:", "example.org:0080", "example.org:65535", "xn--caf-dma.example"),
    *("[::1]", "[::1]:8080", "[2001:DB8::1]", "[::ffff:192.0.2.1]", "[v1.fe:d]"),
    *("%2Fvar%2Frun%2Fpresence.sock", "a~b!$&'()*+;=", ""),
]
NO_HOSTS = [
    *(" ", "a b", "a, b", "a,b", "a\tb", "a/b", "/", "a?b", "a#b", "user@a", "@a", "a\\b", '"a"'),
    *("<a>", "a:b", "a:8o", "a:-1", "a: 80", "a:80:80", "a:65536", "a:99999999", "::1", "a:1/"),
    *(":", ":80", "[]", "[]:80", "[", "]", "[::1", "::1]", "[::1]a", "[::1]:x", "[:::1]", "[g::]"),
    *(
        "[fe80::1%eth0]",
        "[127.0.0.1]",
        "[v1]",
        "%zz",
        "a%2",
        "http://a",
        "é",
        "a\x00",
        "a\n",
        "a\r",
    ),
]


@pytest.mark.fault("B21")
@pytest.mark.parametrize("host", HOSTS)
def test_what_is_a_host(host: str) -> None:
    assert is_host(host.encode())


@pytest.mark.fault("B21")
@pytest.mark.parametrize("host", NO_HOSTS)
def test_what_is_no_host(host: str) -> None:
    assert not is_host(host.encode())
    headers = [(b"host", host.encode())]
    assert status_of(partial(check_host, needs_host=True), headers) == 400


# target, Host -> the path and query, and the status
@pytest.mark.fault("B21")
@pytest.mark.parametrize(
    "target, host, path, status",
    [
        ("http://a/b?c", "a", "/b?c", 200),
        ("HTTP://A/b", "a", "/b", 200),
        ("http://a:80/", "a", "/", 200),
        ("http://a:/", "A:80", "/", 200),
        ("https://a/", "a:443", "/", 200),
        ("http://a", "a", "/", 200),
        ("http://a?b", "a", "/?b", 200),
        ("http://[::1]:8080/", "[::1]:8080", "/", 200),
        ("http://[::1]/", "[::1]:80", "/", 200),
        ("http://a/", None, "/", 200),
        ("http://a/", "b", "/", 400),
        ("http://a/", "a.", "/", 400),
        ("http://a:8080/", "a", "/", 400),
        ("https://a/", "a:80", "/", 400),
        ("http://a/", "", "/", 400),
        ("http://user@a/", "a", "/", 400),
        ("http://a,a/", "a", "/", 400),
        ("http:///b", "", "/b", 400),
        ("http://a:x/", "a", "/", 400),
        ("http://[]/", "a", "/", 400),
        ("ftp://a/b", "a", "/", 400),
        ("a:80", "a", "/", 400),
        ("a", "a", "/", 400),
    ],
)
def test_a_target_that_is_a_whole_url(
    target: str, host: str | None, path: str, status: int
) -> None:
    headers = [(b"host", host.encode())] if host is not None else []
    shown, of_target = split_target(target.encode())
    assert shown == path.encode()
    check = partial(check_host, needs_host=False, target=of_target)
    assert status_of(check, headers) == status
