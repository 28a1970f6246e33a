"""The Redis URL is read strictly, and no part of a secret is told."""

import ssl
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
        ("redis://u:wo%40rd@h", {"username": "u", "password": "wo@rd"}),
        ("redis://u:wo,rd@h", {"username": "u", "password": "wo,rd"}),
        ("redis+cluster://u:wo%2Crd@a,b", {"password": "wo,rd"}),
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
        ("embedded://", {"path": ""}),
        ("embedded://data/of blog", {"path": "data/of blog"}),
        ("embedded://~/presence", {"path": "~/presence"}),
        ("embedded:///srv/a%40b%3Fc", {"path": "/srv/a@b?c"}),
        ("memory://", {}),
        ("memory:///", {}),
        ("rediss://h?ssl_certfile=c", {"tls": {"ssl_certfile": "c"}}),
        (
            "rediss://h?ssl_cert_reqs=none&ssl_check_hostname=false&ssl_certfile=c&ssl_keyfile=k",
            {"is_tls": True},
        ),
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
        ("memory://?ssl=1", "stands alone"),
        ("memory://?", "stands alone"),
        ("memory:////", "stands alone"),
        ("memory://:word@", "stands alone"),
        ("embedded://?ssl=1", "with a folder alone"),
        ("embedded://?", "with a folder alone"),
        ("embedded://data?db=1", "with a folder alone"),
        ("embedded:///var/lib/p#x", "with a folder alone"),
        ("embedded:///var/lib/p&ssl=1", "with a folder alone"),
        ("embedded://localhost:6379", "with a folder alone"),
        ("embedded://user:word@host/0", "with a folder alone"),
        ("embedded://word@host", "with a folder alone"),
        ("embedded://a,b", "with a folder alone"),
        ("embedded://C:\\data", "with a folder alone"),
        ("embedded:///100%", "with a folder alone"),
        ("embedded:///a%0Ab", "with a folder alone"),
        ("embedded:///a%00b", "with a folder alone"),
        ("embedded://a\tb", "with a folder alone"),
        ("embedded:// a", "with a folder alone"),
        ("embedded:///a\u200bb", "with a folder alone"),
        ("embedded:///", "root folder"),
        ("embedded:///.", "root folder"),
        ("embedded:///srv/..", "root folder"),
        ("embedded://~nobody-of-that-name/x", "a user who is not known"),
        ("redis://:\ufeffword@h", "byte order mark"),
        ("redis+cluster://u:p@a:1,u:p@c:3", "more than one @: user and password stand once"),
        ("redis+sentinel://u:p@a,u:p@c/web", "more than one @"),
        ("redis+cluster://u:p@a:1,c:3@", "more than one @"),
        ("redis+cluster://u:p@ss@a:1", "an @ in them is %40"),
        ("redis://u:wo@rd@h", "an @ in them is %40"),
        ("rediss://u@h@h", "an @ in them is %40"),
        ("unix://u:wo@rd@/run/s", "an @ in them is %40"),
        ("redis+cluster://a:1,u:p@c:3", "a comma in them is %2C"),
        ("redis+sentinel://a,u:p@c/web", "a comma in them is %2C"),
        ("rediss://h?ssl_password=x", "ssl_password without ssl_keyfile"),
        ("rediss://h?ssl_certfile=c&ssl_password=x", "ssl_password without ssl_keyfile"),
        ("rediss://h?ssl_keyfile=k", "ssl_keyfile without ssl_certfile"),
        ("redis://h?ssl=1&ssl_keyfile=k&ssl_password=x", "ssl_keyfile without ssl_certfile"),
        ("rediss://h?ssl_cert_reqs=none&ssl_check_hostname=true", "looks at no certificate"),
        ("rediss://h?ssl_cert_reqs=none&ssl_ca_certs=c", "ssl_ca_certs with ssl_cert_reqs=none"),
        ("redis+cluster://h?ssl=1&ssl_ca_path=c&ssl_cert_reqs=none", "trusts anybody"),
        ("redis+sentinel://h/n?sentinel_ssl=1&ssl_ca_data=c&ssl_cert_reqs=none", "trusts anybody"),
        ("rediss://h?ssl_cert_reqs=none&ssl_include_verify_flags=VERIFY_X509_STRICT", "anybody"),
        (
            "rediss://h?ssl_include_verify_flags=VERIFY_X509_STRICT"
            "&ssl_exclude_verify_flags=VERIFY_X509_STRICT",
            "both includes and excludes the verify flag VERIFY_X509_STRICT",
        ),
        ("rediss://h?ssl_min_version=TLSv1.3&ssl_ciphers=AES128-SHA", "cannot be chosen"),
        ("rediss://h?ssl_min_version=TLSv1.1", "TLSv1.2 or TLSv1.3"),
        ("redis+sentinel://h/web?ssl=0&sentinel_ssl=0&ssl_ca_certs=c", "without TLS: use ssl=true"),
        ("redis://h?ssl=0&ssl_password=x", "without TLS"),
        ("unix:///run/s?ssl=true", "has no TLS"),
        ("redis://h/" + "9" * 5_000, "whole number, such as /0"),
        ("redis://h:" + "9" * 5_000, "a port from 1 to 65535"),
        ("redis://h?db=+1", "bad option db"),
        ("redis://h/\u0663", "whole number, such as /0"),
        ("redis://h:6_379", "a port from 1 to 65535"),
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
        "redis://default:Sup3r?secret=1",
        "redis://default:Sup3r/0?secret",
        "Sup3r:secret@redis://h",
        "Sup3r",
    ]
    # Which part of what stands before the @ is the secret is not known; and each may hide in
    # options, or behind an @ that is escaped.
    + [
        f"{scheme}://{credentials}@h{end}"
        for scheme, end in [
            ("redis", "/0"),
            ("rediss", ""),
            ("redis+cluster", ":1,i:2"),
            ("redis+sentinel", ":1,i:2/web"),
            ("embedded", ""),
            ("embedded", "/data"),
            ("memory", ""),
            ("unix", "/run/s"),
        ]
        for credentials in (
            "Sup3r:Secret",
            "Sup3r",
            "Sup3r:",
            ":Sup3r",
            "Sup3r%40Secret",
            "a:1,Sup3r:Secret",
            "u:Sup3r@a,u:Secret",
            "Sup3r@Secret",
            "Sup3r:Secret%40h@",
            "%53up3r:Secret",
        )
    ]
    + [
        f"{url}{option}=Sup3r"
        for url in (
            "redis://h?",
            "rediss://h?",
            "redis+cluster://h?",
            "unix:///run/s?",
            "redis+sentinel://h/web?",
            "embedded://?",
            "memory://?",
        )
        for option in (
            "username",
            "password",
            "db=1&password",
            "password=x&username",
            "sentinel_password",
            "sentinel_username",
            "ssl_password",
            "ssl_ca_data",
        )
    ]
    + [
        "redis://Sup3r:Secret%40h",
        "unix://Sup3r:Secret%40/run/s",
        "unix:///run/Sup3r%40s",
        "embedded:///srv/Sup3r%40s",
        "redis+sentinel://h/Sup3r%40n",
        "rediss://h?ssl_ca_certs=Sup3r%40h",
    ],
)
def test_no_part_of_a_password_is_told(url: str) -> None:
    try:
        told = Settings.from_env({"PRESENCE_REDIS_URL": url}).shown("REDIS_URL")
    except SettingsError as refusal:
        told = str(refusal)
    for text in (told, mask_url(url)):
        assert "Sup3r" not in text
        assert "%53up3r" not in text
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
        ("redis://user:wo%40rd@h", "redis://:********@h"),
        ("redis://user:wo@rd@h", "redis://:********@h"),
        ("redis://user@h", "redis://:********@h"),
        ("redis+cluster://user:word@a:1,b:2", "redis+cluster://:********@a:1,b:2"),
        ("unix://user:word@/run/s?db=1", "unix://:********@/run/s?db=1"),
        ("redis://word@h", "redis://:********@h"),
        ("redis://user:wo/rd@h", "redis://:********@h"),
        ("redis+sentinel://h/n?sentinel_password=word", "redis+sentinel://h/n?…"),
        ("rediss://h?username=user&db=1", "rediss://h?…"),
        ("rediss://h/1?ssl_ca_certs=/etc/ca.pem", "rediss://h/1?ssl_ca_certs=/etc/ca.pem"),
        ("embedded:///var/lib/p", "embedded:///var/lib/p"),
        ("embedded://user:word@h", "embedded://:********@h"),
        ("embedded://data?password=word", "embedded://********"),
        ("memory://", "memory://"),
        ("redis://user:word", "redis://********"),
        ("user:word@h", "********"),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    assert mask_url(url) == shown
