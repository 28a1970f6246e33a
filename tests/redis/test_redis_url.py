"""The Redis URL is read strictly, and no part of a secret is told."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from service.errors import SettingsError
from service.redis.client import connect
from service.redis_url import RedisUrl, mask_url
from service.settings import Settings


@pytest.mark.parametrize(
    "url, expected",
    [
        ("redis://h", {"hosts": (("h", 6379),)}),
        ("redis://", {"hosts": (("localhost", 6379),)}),
        ("redis://h/1", {"database": 1}),
        ("redis://h:1?db=2", {"hosts": (("h", 1),), "database": 2}),
        ("redis://[::1]:7/", {"hosts": (("::1", 7),)}),
        ("redis://u:p%2F%3F%23%40%3A@h", {"username": "u", "password": "p/?#@:"}),
        ("redis://u:wo@rd@h", {"username": "u", "password": "wo@rd"}),
        ("redis://:p@h", {"username": None, "password": "p"}),
        ("redis://h?password=a%26b+c", {"password": "a&b+c"}),
        ("rediss://h?ssl_cert_reqs=none", {"is_tls": True, "tls": {"ssl_cert_reqs": "none"}}),
        ("redis://h?ssl=true", {"is_tls": True, "tls": {}}),
        (
            "rediss://h?ssl_check_hostname=no&ssl_min_version=TLSv1.3",
            {"tls": {"ssl_check_hostname": False, "ssl_min_version": ssl.TLSVersion.TLSv1_3}},
        ),
        ("unix:///run/a%20b.sock?db=1", {"path": "/run/a b.sock", "database": 1}),
        ("unix://:p@/run/s", {"path": "/run/s", "password": "p"}),
        ("redis+sentinel://a,b:1/web?db=3", {"primary": "web", "database": 3}),
        ("redis+sentinel://a/web?ssl=true", {"is_tls": True, "sentinel_tls": True}),
        ("redis+sentinel://a/web?ssl=1&sentinel_ssl=0", {"is_tls": True, "sentinel_tls": False}),
        ("redis+sentinel://a/web?sentinel_ssl=1", {"is_tls": False, "sentinel_tls": True}),
        ("redis+cluster://a:1,b", {"hosts": (("a", 1), ("b", 6379))}),
        ("redis+cluster://a/0?ssl=yes", {"is_tls": True}),
        ("embedded:///var/lib/p", {"path": "/var/lib/p"}),
    ],
)
def test_what_it_says(url: str, expected: dict[str, Any]) -> None:
    parsed = RedisUrl.parse(url)
    assert {name: getattr(parsed, name) for name in expected} == expected


@pytest.mark.fault("B34")
@pytest.mark.parametrize(
    "url, says",
    [
        ("redis://h?family=0", "unknown option 'family'"),
        ("redis://h?ssl_cert_reqs=none", "without TLS: use rediss://"),
        ("rediss://h?ssl_cert_reqs=maybe", "none, optional or required"),
        ("rediss://h?ssl_min_version=1", "TLSv1.2 or TLSv1.3"),
        ("rediss://h?ssl_verify=1", "'ssl_verify'"),
        ("rediss://h?ssl=false", "either TLS or not"),
        ("rediss://h?ssl_include_verify_flags=X", "VerifyFlags"),
        ("rediss://h?ssl_ca_certs=", "it is empty"),
        ("redis://h/db1", "whole number, such as /0"),
        ("redis://h/1/2", "whole number, such as /0"),
        ("redis://h/-1", "whole number, such as /0"),
        ("redis://h/1?db=2", "two databases"),
        ("redis://h?db=one", "bad option db"),
        ("redis://h?db=1&db=1", "twice"),
        ("redis://h?db", "not name=value"),
        ("redis://a,b", "several hosts"),
        ("redis://h:0", "a port from 1 to 65535"),
        ("redis://h:65536", "a port from 1 to 65535"),
        ("redis://::1", "host:port"),
        ("redis://[h]", "not an IPv6 address"),
        ("redis://h h", "white space"),
        ("redis://h?socket_timeout=5", "unknown option 'socket_timeout'"),
        ("redis+cluster://h?ssl=perhaps", "true or false"),
        ("redis+cluster://h?tls=true", "did you mean ssl?"),
        ("redis+cluster://h?ssl_cert_reqs=none", "use ssl=true"),
        ("redis+cluster://h/1", "only 0"),
        ("redis+cluster://h?db=1", "unknown option 'db'"),
        ("redis+cluster://h,", "is not host:port"),
        ("redis+sentinel://h/web?tls=true", "did you mean ssl?"),
        ("redis+sentinel://h/web/1", "?db=1"),
        ("redis+sentinel://h", "name the primary"),
        ("unix://run/s", "whole path"),
        ("unix:///run/s?ssl_ca_certs=x", "has no TLS"),
        ("memory://h", "stands alone"),
        ("http://h", "unknown scheme"),
    ],
)
def test_what_is_not_understood_stops_the_start_with_one_line(url: str, says: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        Settings.from_env({"PRESENCE_REDIS_URL": url})
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)
    with pytest.raises(SettingsError):
        connect(url)


@pytest.mark.fault("B34")
def test_files_of_tls_that_cannot_be_used_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ssl_ca_certs: it cannot be read"):
        connect(f"rediss://h?ssl_ca_certs={tmp_path}/none.pem")
    (tmp_path / "empty.pem").touch()
    with pytest.raises(SettingsError, match=r"do not fit \(ssl_ca_certs\)"):
        connect(f"rediss://h?ssl_ca_certs={tmp_path}/empty.pem")


@pytest.mark.fault("B28")
@pytest.mark.parametrize(
    "url",
    [
        f"{scheme}{user}Sup3r{character}Secret@h{end}"
        for scheme, end in [
            ("redis://", "/0"),
            ("rediss://", ""),
            ("redis+cluster://", ""),
            ("redis+sentinel://", "/web"),
            ("unix://", "/run/s"),
        ]
        for user in ("default:", ":", "")
        for character in ("/", "?", "#", "/?", "?x=1&y=", ":", "%zz/", "\n", "[", "]/")
        if user or character != ":"  # that is a user and a password
    ]
    + [
        "redis+sentinel://h/web?sentinel_password=Sup3r&Secret",
        "redis+sentinel://h/web?sentinel_password=Sup3r&Secret=1",
        "redis+sentinel://h/web?sentinel_password=Sup3r#Secret",
        "redis+sentinel://h/web?sentinel_password=Sup3r@Secret",
        "redis+cluster://default:Sup3rSecret",
        "redis://default:Sup3rSecret",
        "redis://h?password=Sup3r&secret=Secret",
        "redis://default:Sup3rSecret@h?family=0",
    ],
)
def test_no_part_of_a_password_is_told(url: str) -> None:
    try:
        told = Settings.from_env({"PRESENCE_REDIS_URL": url}).shown("REDIS_URL")
    except SettingsError as refusal:
        told = str(refusal)
    for text in (told, mask_url(url) if "@h" in url else ""):
        assert "Sup3r" not in text
        assert "secret" not in text.lower().replace("secrets", "")


@pytest.mark.fault("B28")
@pytest.mark.parametrize(
    "url", ["redis+cluster://default:Sup3r/Secret@h", "redis://default:Sup3r/Secret@h/0"]
)
def test_it_says_what_must_be_percent_encoded(url: str) -> None:
    with pytest.raises(SettingsError, match=r"percent-encode.*%2F for /, %3F for .*%40 for @"):
        connect(url)


@pytest.mark.parametrize(
    "url, shown",
    [
        ("redis://localhost:1/0", "redis://localhost:1/0"),
        ("redis://:word@h/0", "redis://:********@h/0"),
        ("redis://user:wo@rd@h", "redis://user:********@h"),
        ("redis://word@h", "redis://:********@h"),
        ("redis://user:wo/rd@h", "redis://:********@h"),
        ("redis+sentinel://h/n?sentinel_password=word", "redis+sentinel://h/n?…"),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    assert mask_url(url) == shown
