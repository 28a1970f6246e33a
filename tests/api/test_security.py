"""Who may do what: addresses, tokens, origins, Hosts, and who is not counted."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from service.api.security import Security, check_host, headers_of, is_bot
from service.errors import RequestError
from service.redis.embedded import make_token
from service.settings import Settings


def security(**settings: str) -> Security:
    environ = {"REDIS_URL": "memory://"} | settings
    return Security(
        Settings.from_env({f"PRESENCE_{name}": value for name, value in environ.items()})
    )


def scope(peer: str | None = "127.0.0.1", *headers: tuple[str, str]) -> dict[str, Any]:
    return {
        "client": (peer, 50_000) if peer is not None else None,
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
    }


def status_of(call: Any, *args: Any) -> int:
    """200, or the status of the refusal."""
    try:
        call(*args)
    except RequestError as error:
        return error.status
    return 200


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
        (PROXIES, "2001:db8:ffff::1", ["198.51.100.7"], "198.51.100.7"),
        (PROXIES, None, ["198.51.100.7"], "198.51.100.7"),  # a unix socket
        # what is no address is where it ends
        (PROXIES, "10.0.0.1", ["198.51.100.7, unknown"], "10.0.0.1"),
        (PROXIES, "10.0.0.1", ["198.51.100.7, unknown, 10.0.0.2"], "10.0.0.2"),
        (PROXIES, "10.0.0.1", ["'; DROP TABLE"], "10.0.0.1"),
        (PROXIES, "10.0.0.1", [""], "10.0.0.1"),
        (PROXIES, "10.0.0.1", ["\xff"], "10.0.0.1"),
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
    assert rules.client_address(scope(peer, *headers)) == address


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
    ],
)
def test_client_ip_header(peer: str, headers: list[tuple[str, str]], address: str) -> None:
    """It is believed only from a trusted proxy, and X-Forwarded-For never beside it."""
    rules = security(TRUSTED_PROXIES="10.0.0.0/8", CLIENT_IP_HEADER="CF-Connecting-IP")
    assert rules.client_address(scope(peer, *headers)) == address


def test_an_address_is_never_written_as_it_is() -> None:
    one, other = security(ADMIN_TOKEN="a"), security(ADMIN_TOKEN="b")
    shown = one.hash_address("192.0.2.1")
    assert re.fullmatch("[0-9a-f]{16}", shown)
    assert shown == security(ADMIN_TOKEN="a").hash_address("192.0.2.1")  # copies count together
    assert shown != other.hash_address("192.0.2.1")
    assert security().hash_address("192.0.2.1") != security().hash_address("192.0.2.1")
    assert security(NEW_SESSIONS_PER_MINUTE="0").hash_address("192.0.2.1") == ""


EMBEDDED = {"REDIS_URL": "embedded://"}


# settings, peer, headers -> status
@pytest.mark.parametrize(
    "settings, peer, headers, status",
    [
        # without a token nobody, wherever they seem to be
        *(
            (settings, peer, {"Host": host}, 403)
            for settings in (EMBEDDED, {"REDIS_URL": "memory://"})
            for peer in ("127.0.0.1", "::1", None)
            for host in ("127.0.0.1:8080", "localhost", "[::1]:8080")
        ),
        # with a token only whoever has it
        ({"ADMIN_TOKEN": "t0"}, "192.0.2.1", {"Authorization": "Bearer t0"}, 200),
        ({"ADMIN_TOKEN": "t0"}, "192.0.2.1", {"Authorization": "bearer  t0 "}, 200),
        ({"ADMIN_TOKEN": "t0"}, "192.0.2.1", {}, 401),
        ({"ADMIN_TOKEN": "t0"}, "192.0.2.1", {"Authorization": "Basic t0"}, 401),
        ({"ADMIN_TOKEN": "t0"}, "192.0.2.1", {"Authorization": "Bearer"}, 401),
        ({"ADMIN_TOKEN": "t0"}, "192.0.2.1", {"Authorization": "Bearer t1"}, 403),
        ({"ADMIN_TOKEN": "t0"}, "192.0.2.1", {"Authorization": "Bearer t"}, 403),
        ({"ADMIN_TOKEN": "t0"}, "192.0.2.1", {"Authorization": "Bearer t00"}, 403),
        ({"ADMIN_TOKEN": "t0"}, "192.0.2.1", {"Authorization": "Bearer \xe9"}, 403),
        (EMBEDDED | {"ADMIN_TOKEN": "t0"}, "127.0.0.1", {"Host": "127.0.0.1"}, 401),
    ],
)
def test_operator(
    settings: dict[str, str], peer: str | None, headers: dict[str, str], status: int
) -> None:
    rules = security(**settings)
    request = scope(peer, *headers.items())
    assert status_of(rules.check_operator, headers_of(request)) == status


@pytest.fixture
def kept_token(tmp_path: Path) -> tuple[dict[str, str], str]:
    """Settings under embedded:// with the token that the first start has made."""
    token = make_token(tmp_path / "admin-token")
    return {"REDIS_URL": f"embedded://{tmp_path}"}, token


@pytest.mark.fault("B21")
def test_a_token_that_the_first_start_has_made_opens(
    kept_token: tuple[dict[str, str], str], tmp_path: Path
) -> None:
    settings, token = kept_token
    assert re.fullmatch("[0-9a-f]{48}", token)
    assert (tmp_path / "admin-token").stat().st_mode & 0o777 == 0o600
    bearer = {b"authorization": b"Bearer " + token.encode()}
    rules = security(**settings)
    assert status_of(rules.check_operator, bearer) == 200
    assert status_of(rules.check_operator, {b"host": b"127.0.0.1"}) == 401
    # It closes nothing that is open without it, and lifts the limits of whoever shows it.
    assert rules.check_backend("blog", rules.site("blog"), {}) is False
    assert rules.check_backend("blog", rules.site("blog"), bearer) is True
    assert security(**settings).hash_address("192.0.2.1") == rules.hash_address("192.0.2.1")
    chosen = security(**settings, ADMIN_TOKEN="chosen")
    assert status_of(chosen.check_operator, bearer) == 403
    assert status_of(chosen.check_backend, "blog", chosen.site("blog"), {}) == 401
    assert (
        security(**settings, ADMIN_TOKEN="").check_backend("blog", rules.site("blog"), bearer)
        is True
    )


@pytest.mark.fault("B21")
@pytest.mark.parametrize(
    "hosts, needs_host, status",
    [(1, True, 200), (2, True, 400), (0, True, 400), (0, False, 200), (2, False, 400)],
)
def test_one_host(hosts: int, needs_host: bool, status: int) -> None:
    headers = [(b"accept", b"*/*"), (b"accept", b"text/html")]
    headers += [(b"host", b"127.0.0.1")] * hosts
    assert status_of(partial(check_host, needs_host=needs_host), headers) == status


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(given: bytes, wanted: bytes) -> bool:
        compared.append((given, wanted))
        return given == wanted

    monkeypatch.setattr("service.api.security.hmac.compare_digest", compare)
    rules = security(ADMIN_TOKEN="t0", METRICS_TOKEN="t1")
    headers = {b"authorization": b"Bearer guess"}
    assert status_of(rules.check_operator, headers) == 403
    assert status_of(rules.check_metrics, headers) == 403
    assert compared == [(b"guess", b"t0"), (b"guess", b"t1")]


@pytest.fixture
def sites_file(tmp_path: Path) -> str:
    file = tmp_path / "sites.toml"
    file.write_text(
        '["open"]\n'
        '["own"]\norigins = ["https://own.example", "http://localhost:3000"]\ntoken = "own-token"\n'
        '["closed"]\npublic = false\ntoken = "closed-token"\n'
        '["sealed"]\npublic = false\n'
    )
    return str(file)


# site, Origin, token -> status of a write, Access-Control-Allow-Origin
@pytest.mark.parametrize(
    "site, origin, token, status, allowed",
    [
        ("open", None, None, 200, b"*"),
        ("open", "https://foreign.example", None, 200, b"*"),
        ("open", "null", None, 200, b"*"),
        ("own", "https://own.example", None, 200, b"https://own.example"),
        ("own", "http://localhost:3000", None, 200, b"http://localhost:3000"),
        ("own", "https://foreign.example", None, 403, None),
        ("own", "https://own.example.evil.example", None, 403, None),
        ("own", "https://sub.own.example", None, 403, None),
        ("own", "http://own.example", None, 403, None),
        ("own", "https://own.example:8443", None, 403, None),
        ("own", "HTTPS://OWN.EXAMPLE", None, 403, None),
        ("own", "null", None, 403, None),
        ("own", "", None, 403, None),
        ("own", None, None, 403, None),
        ("own", None, "wrong", 403, None),
        ("own", None, "own-token", 200, None),
        ("own", None, "admin", 200, None),
        ("own", "https://foreign.example", "own-token", 200, None),
    ],
)
def test_origin(
    sites_file: str,
    site: str,
    origin: str | None,
    token: str | None,
    status: int,
    allowed: bytes | None,
) -> None:
    rules = security(SITES_FILE=sites_file, ADMIN_TOKEN="admin")
    headers = {}
    if origin is not None:
        headers[b"origin"] = origin.encode()
    if token is not None:
        headers[b"authorization"] = b"Bearer " + token.encode()
    found = rules.site(site)
    assert status_of(rules.check_origin, site, found, headers) == status
    assert rules.allowed_origin(found, headers) == allowed


# site, token -> status of a read, status of a batch
@pytest.mark.parametrize(
    "site, token, read, batch",
    [
        ("open", None, 200, 401),
        ("open", "wrong", 200, 403),
        ("open", "admin", 200, 200),
        ("closed", None, 401, 401),
        ("closed", "wrong", 403, 403),
        ("closed", "own-token", 403, 403),
        ("closed", "closed-token", 200, 200),
        ("closed", "admin", 200, 200),
        ("nowhere", None, 401, 401),
        ("nowhere", "wrong", 403, 403),
        ("nowhere", "closed-token", 403, 403),
        ("nowhere", "admin", 404, 404),
        ("sealed", None, 401, 401),
        ("sealed", "closed-token", 403, 403),
        ("sealed", "admin", 200, 200),
    ],
)
def test_readers_and_backends(
    sites_file: str, site: str, token: str | None, read: int, batch: int
) -> None:
    rules = security(SITES_FILE=sites_file, ADMIN_TOKEN="admin")
    headers = {b"authorization": b"Bearer " + token.encode()} if token else {}
    found = rules.site_or_unknown(site)
    assert status_of(rules.check_reader, site, found, headers) == read
    assert status_of(rules.check_backend, site, found, headers) == batch


def test_a_private_site_without_any_token_is_closed(sites_file: str) -> None:
    rules = security(SITES_FILE=sites_file)
    sealed = rules.site("sealed")
    assert status_of(rules.check_reader, "sealed", sealed, {}) == 401
    for token in (b"", b"x"):
        headers = {b"authorization": b"Bearer " + token}
        assert status_of(rules.check_reader, "sealed", sealed, headers) in (401, 403)


def test_without_a_token_a_batch_is_limited_by_address() -> None:
    rules = security()
    assert rules.check_backend("blog", rules.site("blog"), {}) is False


CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36"
)


@pytest.mark.parametrize(
    "headers, reason",
    [
        ({}, None),
        ({"User-Agent": CHROME}, None),
        ({"User-Agent": "curl/8.5.0"}, None),
        ({"User-Agent": "python-httpx/0.28"}, None),
        ({"User-Agent": "Mozilla/5.0 (Linux; Android 9; CUBOT X19) Mobile Safari/537.36"}, None),
        ({"User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"}, "bot"),
        ({"User-Agent": "Mozilla/5.0 (compatible; bingbot/2.0)"}, "bot"),
        ({"User-Agent": "Baiduspider"}, "bot"),
        ({"User-Agent": "facebookexternalhit/1.1"}, "bot"),
        ({"User-Agent": "Slackbot-LinkExpanding 1.0"}, "bot"),
        ({"User-Agent": "\xff\xfe bot/1"}, "bot"),
        ({"Sec-Purpose": "prefetch"}, "prefetch"),
        ({"Sec-Purpose": "prefetch;prerender"}, "prefetch"),
        ({"Purpose": "prefetch"}, "prefetch"),
        ({"X-Moz": "prefetch"}, "prefetch"),
        ({"Sec-Purpose": "something"}, None),
        ({"DNT": "1"}, "dnt"),
        ({"Sec-GPC": "1"}, "dnt"),
        ({"DNT": "0"}, None),
        ({"DNT": "1", "User-Agent": "bingbot/2.0"}, "bot"),
    ],
)  # fmt: skip  # a table reads better with one case a line
def test_who_is_not_counted(headers: dict[str, str], reason: str | None) -> None:
    given = headers_of(scope("127.0.0.1", *headers.items()))
    assert security(RESPECT_DNT="true").drop_reason(given) == reason
    assert security().drop_reason(given) == (None if reason == "dnt" else reason)


def test_bots_are_looked_up_once() -> None:
    is_bot.cache_clear()
    assert not any(is_bot(CHROME.encode()) for _ in range(3))
    assert is_bot.cache_info().misses == 1


ROBOTS = [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/140.0.0.0 Safari/537.36",
    CHROME + " Prerender (+https://github.com/prerender/prerender)",
    "Mozilla/5.0 (compatible; Google-InspectionTool/1.0;)",
    "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 Chrome/140.0.0.0 "
    "Mobile Safari/537.36 (compatible; Google-InspectionTool/1.0;)",
    "GoogleOther",
    "Mozilla/5.0 (compatible; Google-Read-Aloud; +https://support.google.com/webmasters)",
    CHROME + " PTST/250101.120000",
    "Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 PhantomJS/2.1.1 Safari/538.1",
    "Mozilla/5.0 AppleWebKit/537.36 (compatible; ChatGPT-User/1.0; +https://openai.com/bot)",
    "meta-externalagent/1.1",
    "WhatsApp/2.23.20.0",
    "Mozilla/5.0 (compatible; Unheard/1.0; +https://unheard.example/about)",
    "Mozilla/5.0 (Linux; Android 7.0; compatible; Spiderling/1.0) Mobile Safari/537.36",
    CHROME + " DatadogSynthetics",
]
PEOPLE = [
    "Mozilla/5.0 (Linux; Android 13; Spider-Man Edition Build/TP1A) Chrome/140.0.0.0 Mobile Safari",
    "Mozilla/5.0 (Linux; Android 14; Redmi Crawler) AppleWebKit/537.36 Chrome/140.0.0.0 Mobile",
    "Mozilla/5.0 (Linux; U; Android 12; de-de; Robot X1 (Dual) Build/1) Mobile Safari/537.36",
    "Mozilla/5.0 (Android 13; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0",
    "Phone Spider-Man Edition",
    "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
    "okhttp/4.12.0",
]


@pytest.mark.fault("B35")
@pytest.mark.parametrize("user_agent", ROBOTS)
def test_robots_that_say_so(user_agent: str) -> None:
    assert is_bot(user_agent.encode())


@pytest.mark.fault("B35")
@pytest.mark.parametrize("user_agent", PEOPLE)
def test_phones_with_odd_names_and_libraries_are_counted(user_agent: str) -> None:
    assert not is_bot(user_agent.encode())
