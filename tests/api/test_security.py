"""Who may do what: tokens, origins, and who is not counted."""

import re
from pathlib import Path

import pytest

from service.api.request_head import headers_of
from service.redis.embedded import make_token
from tests.api.rules import scope, security, status_of
from tests.api.test_robots import CHROME

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
    settings: dict[str, str],
    peer: str | None,
    headers: dict[str, str],
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Where the service was started before there is a token, which embedded:// would find.
    monkeypatch.chdir(tmp_path)
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
    assert rules.check_backend("blog", rules.require_site("blog"), {}) is False
    assert rules.check_backend("blog", rules.require_site("blog"), bearer) is True
    assert security(**settings).addresses.hash("192.0.2.1") == rules.addresses.hash("192.0.2.1")
    chosen = security(**settings, ADMIN_TOKEN="chosen")
    assert status_of(chosen.check_operator, bearer) == 403
    assert status_of(chosen.check_backend, "blog", chosen.require_site("blog"), {}) == 401
    assert (
        security(**settings, ADMIN_TOKEN="").check_backend(
            "blog", rules.require_site("blog"), bearer
        )
        is True
    )


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(given: bytes, wanted: bytes) -> bool:
        compared.append((given, wanted))
        return given == wanted

    monkeypatch.setattr("service.api.bearer_tokens.hmac.compare_digest", compare)
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
    found = rules.require_site(site)
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
    sealed = rules.require_site("sealed")
    assert status_of(rules.check_reader, "sealed", sealed, {}) == 401
    for token in (b"", b"x"):
        headers = {b"authorization": b"Bearer " + token}
        assert status_of(rules.check_reader, "sealed", sealed, headers) in (401, 403)


def test_without_a_token_a_batch_is_limited_by_address() -> None:
    rules = security()
    assert rules.check_backend("blog", rules.require_site("blog"), {}) is False


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
