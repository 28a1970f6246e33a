"""Which addresses are of the internet, however they are written."""

import ipaddress

import pytest

from service.webhook_config import is_public

CASES = [
    ("8.8.8.8", True),
    ("2606:4700::1111", True),
    ("64:ff9b::808:808", True),  # through NAT64
    ("::ffff:8.8.8.8", True),
    ("0.0.0.0", False),
    ("127.0.0.1", False),
    ("127.8.9.1", False),
    ("10.1.2.3", False),
    ("172.16.0.1", False),
    ("192.168.1.1", False),
    ("169.254.169.254", False),  # where clouds keep credentials
    ("100.64.0.1", False),
    ("192.0.2.1", False),
    ("198.18.0.1", False),
    ("224.0.0.1", False),
    ("240.0.0.1", False),
    ("255.255.255.255", False),
    ("::", False),
    ("::1", False),
    ("fe80::1", False),
    ("fec0::1", False),
    ("fc00::1", False),
    ("fd12:3456::1", False),
    ("ff02::1", False),
    ("2001:db8::1", False),
    ("::ffff:127.0.0.1", False),
    ("64:ff9b::a9fe:a9fe", False),
    ("64:ff9b:1::a00:1", False),
    ("2002:7f00:1::", False),  # 6to4 to 127.0.0.1
    ("2001:0:53aa:64c:0:0:80ff:fffe", False),  # Teredo
]


@pytest.mark.parametrize("text, is_open", CASES)
def test_addresses(text: str, is_open: bool) -> None:
    assert is_public(ipaddress.ip_address(text)) is is_open
