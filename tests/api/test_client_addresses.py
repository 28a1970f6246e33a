"""Whose a request is, and that no address is written as it is."""

import re

import pytest

from service.errors import SettingsError
from tests.api.rules import scope, security

PROXIES = "10.0.0.0/8, 2001:db8:ffff::/48"


# trusted proxies, peer, X-Forwarded-For … -> the address that limits go by
@pytest.mark.parametrize(
    "trusted, peer, forwarded, address",
    [
        # nobody is trusted
        ("", "192.0.2.1", [], "192.0.2.1"),
        ("", "192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        ("", "127.0.0.1", ["198.51.100.7"], "127.0.0.1"),
        # the peer is no proxy of ours
        (PROXIES, "192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        # it is
        (PROXIES, "10.0.0.1", [], "10.0.0.1"),
        (PROXIES, "10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        (PROXIES, "10.0.0.1", ["6.6.6.6, 198.51.100.7"], "198.51.100.7"),
        (PROXIES, "10.0.0.1", ["6.6.6.6", "198.51.100.7"], "198.51.100.7"),
        (PROXIES, "10.0.0.1", ["6.6.6.6, 198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        (PROXIES, "10.0.0.1", ["10.6.6.6, 198.51.100.7,10.0.0.2 , 10.0.0.3"], "198.51.100.7"),
        (PROXIES, "10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (PROXIES, "10.0.0.1", ["198.51.100.7:1234"], "198.51.100.7"),
        (PROXIES, "10.0.0.1", ["[2001:db8:1:2:3::4]:1234"], "2001:db8:1:2::/64"),
        (PROXIES, "::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("::ffff:10.0.0.0/104", "10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("::ffff:10.0.0.1", "10.0.0.2", ["198.51.100.7"], "10.0.0.2"),
        (PROXIES, "2001:db8:ffff::1", ["198.51.100.7"], "198.51.100.7"),
        (PROXIES, None, ["198.51.100.7"], "198.51.100.7"),  # a unix socket
        # what is no address is where it ends
        (PROXIES, "10.0.0.1", ["198.51.100.7, unknown"], "10.0.0.1"),
        (PROXIES, "10.0.0.1", ["198.51.100.7, unknown, 10.0.0.2"], "10.0.0.2"),
        (PROXIES, "10.0.0.1", ["'; DROP TABLE"], "10.0.0.1"),
        (PROXIES, "10.0.0.1", [""], "10.0.0.1"),
        (PROXIES, "10.0.0.1", ["\xff"], "10.0.0.1"),
        (PROXIES, "10.0.0.1", ["fe80::1%" + "x" * 64], "10.0.0.1"),  # it would be kept
        (PROXIES, "10.0.0.1", ["198.51.100.7%eth0"], "10.0.0.1"),
        (PROXIES, "10.0.0.1", ["198.51.100.07"], "10.0.0.1"),
        (PROXIES, "10.0.0.1", ["198.51.100.7\0"], "10.0.0.1"),
        # IPv6 by /64
        ("", "2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ("", "2001:db8:1:2:ffff::", [], "2001:db8:1:2::/64"),
        ("", "::ffff:192.0.2.1", [], "192.0.2.1"),
        ("", "fe80::1%eth0", [], "fe80::/64"),
    ],
)
def test_client_address(trusted: str, peer: str | None, forwarded: list[str], address: str) -> None:
    rules = security(TRUSTED_PROXIES=trusted)
    headers = [("X-Forwarded-For", value) for value in forwarded]
    assert rules.addresses.of_request(scope(peer, *headers)) == address


@pytest.mark.parametrize(
    "peer, headers, address",
    [
        ("10.0.0.1", [("CF-Connecting-IP", "192.0.2.7")], "192.0.2.7"),
        ("10.0.0.1", [("cf-connecting-ip", "2001:db8:1:2::9")], "2001:db8:1:2::/64"),
        (
            "10.0.0.1",
            [("CF-Connecting-IP", "192.0.2.7"), ("X-Forwarded-For", "1.1.1.1")],
            "192.0.2.7",
        ),
        ("10.0.0.1", [("X-Forwarded-For", "192.0.2.8")], "10.0.0.1"),
        ("10.0.0.1", [("CF-Connecting-IP", "nobody")], "10.0.0.1"),
        (
            "10.0.0.1",
            [("CF-Connecting-IP", ""), ("X-Forwarded-For", "192.0.2.8")],
            "10.0.0.1",
        ),
        ("192.0.2.99", [("CF-Connecting-IP", "192.0.2.7")], "192.0.2.99"),
        # one that the client sent, and that of the proxy behind it
        (
            "10.0.0.1",
            [("CF-Connecting-IP", "6.6.6.6"), ("CF-Connecting-IP", "192.0.2.7")],
            "192.0.2.7",
        ),
        ("10.0.0.1", [("CF-Connecting-IP", "6.6.6.6, 192.0.2.7")], "192.0.2.7"),
        ("10.0.0.1", [("CF-Connecting-IP", "6.6.6.6,192.0.2.7:443")], "192.0.2.7"),
        ("10.0.0.1", [("CF-Connecting-IP", "192.0.2.7,")], "10.0.0.1"),
    ],
)
def test_client_ip_header(peer: str, headers: list[tuple[str, str]], address: str) -> None:
    """It is believed only from a trusted proxy, and X-Forwarded-For never beside it."""
    rules = security(TRUSTED_PROXIES="10.0.0.0/8", CLIENT_IP_HEADER="CF-Connecting-IP")
    assert rules.addresses.of_request(scope(peer, *headers)) == address


@pytest.mark.parametrize(
    "header",
    [
        *("X-Forwarded-For", "x-forwarded-for", "X_FORWARDED_FOR", "HTTP_X_FORWARDED_FOR"),
        *("Forwarded", "Forwarded-For", "X-Forwarded", "X-Original-Forwarded-For", "Via"),
    ],
)
def test_a_header_that_holds_a_list_stops_the_start(header: str) -> None:
    with pytest.raises(SettingsError, match=rf"{header}.* list.*PRESENCE_TRUSTED_PROXIES"):
        security(TRUSTED_PROXIES="10.0.0.0/8", CLIENT_IP_HEADER=header)


def test_an_address_is_never_written_as_it_is() -> None:
    one, other = security(ADMIN_TOKEN="a"), security(ADMIN_TOKEN="b")
    shown = one.addresses.hash("192.0.2.1")
    assert re.fullmatch("[0-9a-f]{16}", shown)
    assert shown == security(ADMIN_TOKEN="a").addresses.hash("192.0.2.1")  # copies count together
    assert shown != other.addresses.hash("192.0.2.1")
    assert security().addresses.hash("192.0.2.1") != security().addresses.hash("192.0.2.1")
    assert security(NEW_SESSIONS_PER_MINUTE="0").addresses.hash("192.0.2.1") == ""
