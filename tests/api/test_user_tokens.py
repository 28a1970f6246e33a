"""Who somebody is, by a token: what holds, and what makes somebody nobody. Never an error, never a
name that was not signed."""

import base64
import json
import logging
import time
import warnings
from pathlib import Path
from typing import Any

import jwt
import pytest

from service.api.remembered import Remembered
from service.api.user_tokens import (
    LEEWAY_S,
    LIFE_S,
    User,
    UserTokens,
    clean_pattern,
    mint,
)
from service.sites import Site, load_sites
from tests.conftest import MakeService

SITE, OLD, NEW = "team", "an old secret of thirty-two bytes", "a newer secret of 32 bytes or so"
CONFIGURED = Site(user_secrets=(NEW, OLD))
NOW = 1_900_000_000.0
S = "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"


def sign(secret: str = NEW, algorithm: str = "HS256", headers: Any = None, **claims: Any) -> str:
    """A token; a claim of None is left out."""
    given = {"aud": SITE, "sub": "anna", "exp": NOW + 3600} | claims
    payload = {name: value for name, value in given.items() if value is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return jwt.encode(payload, secret, algorithm=algorithm, headers=headers)


def forged(header: dict[str, Any], payload: dict[str, Any], signature: bytes = b"") -> str:
    """A token that no library would make."""
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@pytest.mark.parametrize(
    "token, user",
    [
        (sign(), User("anna")),
        (sign(OLD), User("anna")),  # while secrets are exchanged
        (sign(sub="a" * 64), User("a" * 64)),
        (sign(sub="Ann.B_c:d@e-9"), User("Ann.B_c:d@e-9")),
        (sign(aud=["other", SITE]), User("anna")),
        (sign(name="Änne 김", avatar="https://e.org/a.png"), User("anna", "Änne 김", "https://e.org/a.png")),
        (sign(name=None, avatar=None), User("anna")),
        (sign(name="", avatar=""), User("anna")),
        (sign(sees=["/docs/*", "/a b", "*"]), User("anna", sees=("/docs/*", "/a b", "/*"))),
        (sign(exp=NOW + LIFE_S), User("anna")),
        (sign(exp=NOW - LEEWAY_S + 1), User("anna")),
        (sign(nbf=NOW + LEEWAY_S, iat=NOW), User("anna")),
        (sign(role="admin", iss="nobody", jti="1"), User("anna")),
    ],
)  # fmt: skip
def test_a_token_that_holds(token: str, user: User) -> None:
    tokens = UserTokens(clock=lambda: NOW)
    for _ in range(2):
        assert tokens.verify(SITE, CONFIGURED, token)[:2] == ("ok", user)


CLAIMS = {"aud": SITE, "sub": "anna", "exp": NOW + 3600}
INVALID = {
    "nothing": "",
    "no token": "undefined",
    "two parts": "a.b",
    "four parts": sign() + ".x",
    "not base64": "§§§.§§§.§§§",
    "no JSON": base64.urlsafe_b64encode(b"{").decode() + "." + sign().partition(".")[2],
    "other secret": sign("somebody else's secret, 32 bytes"),
    "changed after signing": sign()[:-4] + "AAAA",
    "another's payload": ".".join([*sign(sub="bob").split(".")[:2], sign().split(".")[2]]),
    "alg none": forged({"alg": "none", "typ": "JWT"}, CLAIMS),
    "alg None": forged({"alg": "None"}, CLAIMS),
    "no alg": forged({"typ": "JWT"}, CLAIMS, b"x" * 32),
    # Signed with what an RSA key would be verified with: the public one is no secret.
    "alg RS256": forged({"alg": "RS256"}, CLAIMS, b"x" * 256),
    "alg ES256": forged({"alg": "ES256"}, CLAIMS, b"x" * 64),
    "HS384": sign(algorithm="HS384"),
    "HS512": sign(algorithm="HS512"),
    "critical header": sign(headers={"crit": ["b64"], "b64": False}),
    "foreign": sign(aud="other"),
    "foreign list": sign(aud=["other"]),
    "aud of another kind": sign(aud=5),
    "aud with a number": sign(aud=[SITE, 5]),
    "no aud": sign(aud=None),
    "no sub": sign(sub=None),
    "no exp": sign(exp=None),
    "exp no number": sign(exp="tomorrow"),
    "exp true": forged({"alg": "HS256"}, CLAIMS | {"exp": True}),
    "exp endless": sign(exp=1e308),
    "valid for too long": sign(exp=NOW + LIFE_S + LEEWAY_S + 1),
    "not yet": sign(nbf=NOW + LEEWAY_S + 1),
    "from the future": sign(iat=NOW + LEEWAY_S + 1),
    "exp NaN": sign(exp=float("nan")),
    "iat NaN": sign(iat=float("nan")),
    "nbf no number": sign(nbf="now"),
    "sub empty": sign(sub=""),
    "sub long": sign(sub="a" * 65),
    "sub with a space": sign(sub="anna b"),
    "sub with a slash": sign(sub="anna/b"),
    "sub with a line": sign(sub="anna\n"),
    "sub no text": forged({"alg": "HS256"}, CLAIMS | {"sub": 5}),
    "name long": sign(name="n" * 65),
    "name no text": sign(name=5),
    "name with controls": sign(name="a\tb"),
    "name turned around": sign(name="a\u202eb"),
    "name of no Unicode": sign(name="\ud800"),
    "avatar http": sign(avatar="http://e.org/a.png"),
    "avatar script": sign(avatar="javascript:alert(1)"),
    "avatar long": sign(avatar="https://e.org/" + "a" * 250),
    "avatar with a space": sign(avatar="https://e.org/ a"),
    "sees no list": sign(sees="/docs"),
    "sees too many": sign(sees=["/a"] * 11),
    "sees no path": sign(sees=["docs"]),
    "sees a star inside": sign(sees=["/a*/b"]),
    "sees a page that ends in a star": sign(sees=["/wiki/%2A"]),
    "sees a page that is a star": sign(sees=["/%2a/"]),
    "sees a query": sign(sees=["/private?tab=*"]),
    "sees a fragment": sign(sees=["/private#*"]),
    "sees numbers": sign(sees=[1]),
    "a list": jwt.api_jws.encode(b"[1]", NEW, algorithm="HS256"),
    "deep": jwt.api_jws.encode(b"[" * 1000 + b"]" * 1000, NEW, algorithm="HS256"),
    "huge": sign(name="n" * 60, junk="x" * 5000),
}  # fmt: skip


@pytest.mark.parametrize("kind", INVALID)
def test_a_token_that_does_not_hold(kind: str) -> None:
    tokens = UserTokens(clock=lambda: NOW)
    for _ in range(2):
        assert tokens.verify(SITE, CONFIGURED, INVALID[kind])[:2] == ("invalid", None)


def test_a_site_without_secrets_knows_nobody() -> None:
    tokens = UserTokens(clock=lambda: NOW)
    assert tokens.verify(SITE, Site(), sign()).word == "invalid"
    assert tokens.verify("other", CONFIGURED, sign()).word == "invalid"


def test_a_token_is_remembered_until_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    now, verified = NOW, 0
    decode = jwt.decode

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal verified
        verified += 1
        return decode(*args, **options)

    monkeypatch.setattr(jwt, "decode", counted)
    tokens, token = UserTokens(clock=lambda: now), sign(exp=NOW + 10)
    for moment, word, times in (
        (0, "ok", 1), (69, "ok", 1), (71, "expired", 2), (72, "expired", 3),
    ):  # fmt: skip
        now = NOW + moment
        assert (tokens.verify(SITE, CONFIGURED, token).word, verified) == (word, times), moment


def test_only_what_holds_is_remembered() -> None:
    """Anybody can make tokens that do not."""
    tokens = UserTokens(clock=lambda: NOW)
    for n in range(10):
        tokens.verify(SITE, CONFIGURED, f"a.b.{n}")
    assert vars(tokens)["_verdicts"].get("a.b.1") is None
    assert tokens.verify(SITE, CONFIGURED, sign()).word == "ok"
    assert vars(tokens)["_verdicts"].get(sign())


def test_the_oldest_are_forgotten() -> None:
    remembered: Remembered[int, int] = Remembered(20)
    for n in (*range(20), 0):  # the first one comes again
        remembered.add(n, -n)
    assert [n for n in range(20) if remembered.get(n) is None] == []
    remembered.add(20, -20)
    assert [n for n in range(21) if remembered.get(n) is None] == [1, 2]


@pytest.mark.parametrize(
    "sees, path, may",
    [
        ([], "/a", False), ([], None, False),
        (["/a"], "/a", True), (["/a"], "/ab", False), (["/a"], None, False),
        (["/a*"], "/ab", True), (["/a/*"], "/a/b", True), (["/a/*"], "/a", False),
        (["/*"], "/a/b", True), (["*"], None, True), (["/b", "*"], None, True),
        (["/caf%C3%A9"], "/café", True), (["/caf%C3%A9/*"], "/café/x", True),
    ],
)  # fmt: skip
def test_what_a_user_may_see(sees: list[str], path: str | None, may: bool) -> None:
    user = User("anna", sees=tuple(map(clean_pattern, sees)))
    assert user.may_see(path) is may


# Over HTTP


@pytest.fixture
def sites_file(tmp_path: Path) -> str:
    file = tmp_path / "sites.toml"
    file.write_text(
        f'[{SITE}]\nuser_secrets = ["{NEW}", "{OLD}"]\ntoken = "backend"\n'
        '[open]\ntoken = "backend"\n'
    )
    return str(file)


def fresh(user: str = "anna", site: str = SITE, **claims: Any) -> str:
    return mint(NEW, site, User(user, **claims), expires=time.time() + 600)


async def test_a_heartbeat_with_a_token(make_service: MakeService, sites_file: str) -> None:
    service = await make_service(SITES_FILE=sites_file)
    url = f"/v1/sites/{SITE}/heartbeat"
    for token, word, user in (
        (fresh(name="Anna"), "ok", "anna"),
        ("undefined", "invalid", None),
        (fresh("bob"), "ok", "bob"),
        (mint(NEW, SITE, User("bob"), expires=1_700_000_000), "expired", None),
        (fresh(site="open"), "invalid", None),
        ("x" * 5000, "invalid", None),
        (None, None, None),
    ):
        body = {"sessionId": S, "currentPath": "/"} | ({"userToken": token} if token else {})
        for query in ("", "?counts=1"):
            answer = await service.client.post(url + query, json=body)
            assert answer.status_code in (200, 204)
            assert answer.headers.get("presence-user") == word
            exposed = answer.headers["access-control-expose-headers"]
            assert ("Presence-User" in exposed) == (word is not None)
        session = await service.store.session(SITE, S)
        assert session is not None
        assert session.userId == user
    stats = (await service.client.get(f"/v1/sites/{SITE}/stats")).json()
    assert (stats["activeVisitors"], stats["totalPageViews"]) == (1, 1)
    assert stats["activeUsers"] == 0
    assert "activeUsers" not in (await service.client.get("/v1/sites/open/stats")).json()


@pytest.mark.parametrize("token", [5, None, ["a"], {"a": 1}])
async def test_a_token_that_is_no_string(
    make_service: MakeService, sites_file: str, token: Any
) -> None:
    service = await make_service(SITES_FILE=sites_file)
    body = {"sessionId": S, "currentPath": "/", "userToken": token}
    answer = await service.client.post(f"/v1/sites/{SITE}/heartbeat", json=body)
    assert answer.status_code == (204 if token is None else 422)
    assert answer.status_code == 204 or answer.json()["field"] == "userToken"


async def test_only_a_site_with_users_takes_longer_bodies(
    make_service: MakeService, sites_file: str
) -> None:
    service = await make_service(SITES_FILE=sites_file)
    for site, size, status in ((SITE, 7_000, 204), (SITE, 9_000, 413), ("open", 2_500, 413)):
        body = {"sessionId": S, "currentPath": "/", "userToken": "x" * size}
        answer = await service.client.post(f"/v1/sites/{site}/heartbeat", json=body)
        assert answer.status_code == status


def test_a_secret_that_looks_like_a_key_lets_nobody_in() -> None:
    key = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAL\n-----END PUBLIC KEY-----"
    tokens = UserTokens(clock=lambda: NOW)
    assert tokens.verify(SITE, Site(user_secrets=(key,)), sign()).word == "invalid"
    assert tokens.verify("b", Site(user_secrets=(key, NEW)), sign(aud="b")).word == "ok"


async def test_a_name_can_be_taken_back(make_service: MakeService, sites_file: str) -> None:
    service = await make_service(SITES_FILE=sites_file)
    url = f"/v1/sites/{SITE}/heartbeat"
    for number, (claims, name) in enumerate([({"name": "Anna"}, "Anna"), ({}, None)]):
        body = {"sessionId": S, "currentPath": f"/{number}", "userToken": fresh(**claims)}
        assert (await service.client.post(url, json=body)).headers["presence-user"] == "ok"
        known = await service.store.user(SITE, "anna")
        assert known is not None
        assert known.name == name


async def test_a_batch_says_who_somebody_is(make_service: MakeService, sites_file: str) -> None:
    service = await make_service(SITES_FILE=sites_file, ADMIN_TOKEN="admin")
    ids = [f"session-{n:08d}" for n in range(6)]
    items: list[dict[str, Any]] = [
        {"userId": "anna", "name": "Anna", "avatar": "https://e.org/a.png"},
        {"userToken": fresh("bob")},
        {"userToken": "forged"},
        {"userId": "no body"},
        {"userId": "zoe", "avatar": "http://e.org/a.png"},
        {"name": "of nobody"},
    ]
    batch = {
        "heartbeats": [
            {"sessionId": one, "currentPath": "/"} | item
            for one, item in zip(ids, items, strict=True)
        ]
    }
    answer = await service.client.post(
        f"/v1/sites/{SITE}/heartbeats", json=batch, headers={"Authorization": "Bearer backend"}
    )
    assert answer.json()["results"] == [*["created"] * 3, "invalid", "invalid", "created"]
    assert [error["field"] for error in answer.json()["errors"]] == ["userId", "avatar"]
    users = [(await service.store.session(SITE, one)) for one in ids]
    assert [user.userId if user else "" for user in users] == ["anna", "bob", None, "", "", None]
    known = await service.store.user(SITE, "anna")
    assert known is not None
    assert (known.name, known.avatar) == ("Anna", "https://e.org/a.png")
    # A site that has no users, and somebody who is no backend.
    answer = await service.client.post(
        "/v1/sites/open/heartbeats", json=batch, headers={"Authorization": "Bearer backend"}
    )
    assert answer.json()["results"][0] == "invalid"
    assert "user_secrets" in answer.json()["errors"][0]["detail"]


async def test_without_the_sites_token_nobody_says_who_somebody_is(
    make_service: MakeService, tmp_path: Path
) -> None:
    file = tmp_path / "sites.toml"
    file.write_text(f'[{SITE}]\nuser_secrets = ["{NEW}"]\n')
    service = await make_service(SITES_FILE=str(file))
    for endpoint, body in (
        ("heartbeat", {"sessionId": S, "currentPath": "/", "userId": "anna", "name": "Anna"}),
        ("heartbeats", {"heartbeats": [{"sessionId": S, "currentPath": "/", "userId": "anna"}]}),
    ):
        answer = await service.client.post(f"/v1/sites/{SITE}/{endpoint}", json=body)
        if endpoint == "heartbeats":
            assert answer.json()["results"] == ["invalid"]
            assert answer.json()["errors"][0]["field"] == "userId"
    session = await service.store.session(SITE, S)
    assert session is not None
    assert session.userId is None
    assert await service.store.user(SITE, "anna") is None


async def test_a_token_is_in_no_log_and_no_metric(
    make_service: MakeService, sites_file: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = await make_service(SITES_FILE=sites_file)
    tokens = [fresh(name="Anna"), "forged.forged.forged", fresh(site="open")]
    with caplog.at_level(logging.DEBUG):
        for token in tokens:
            for body in (
                {"sessionId": S, "currentPath": "/", "userToken": token},
                {"sessionId": "short", "currentPath": "/", "userToken": token},
                {"sessionId": S, "currentPath": "//", "userToken": token, "country": 5},
            ):
                answer = await service.client.post(f"/v1/sites/{SITE}/heartbeat", json=body)
                assert token not in answer.text
    metrics = (await service.client.get("/metrics")).text
    for token in tokens:
        assert token not in caplog.text
        assert token.rpartition(".")[2] not in metrics


@pytest.mark.parametrize(
    "line, what",
    [
        ('user_secrets = "one"', "as a list of texts"),
        ("user_secrets = [5]", "as a list of texts"),
        ('user_secrets = [""]', "an empty text"),
        ('user_secrets = ["\\n"]', "an empty text"),
    ],
)
def test_secrets_that_are_none(tmp_path: Path, line: str, what: str) -> None:
    file = tmp_path / "sites.toml"
    file.write_text(f"[{SITE}]\n{line}\n")
    with pytest.raises(ValueError, match=what) as caught:
        load_sites(file)
    assert "one" not in str(caught.value).split()


def test_secrets_are_read_as_meant_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "sites.toml"
    file.write_text(f'[{SITE}]\nuser_secrets = ["{NEW}\\n", "{OLD}"]\n')
    sites = load_sites(file)
    assert sites.by_id[SITE].user_secrets == (NEW, OLD)
    assert NEW not in repr(sites)
    assert sites.has_users(SITE)
    assert not sites.has_users("other")
