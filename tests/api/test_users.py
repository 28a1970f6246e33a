"""Users over HTTP: what is told, to whom, and how somebody is erased."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.openapi import document as openapi
from service.api.openapi.operations import OPERATIONS
from service.api.user_tokens import User, mint
from service.store.paging import write_user_cursor
from service.store.writer import Heartbeat
from tests.conftest import MakeService, Service

SECRET = "a secret of at least thirty-two bytes"
SITES = f"""
["team"]
token = "team-token"
user_secrets = ["{SECRET}"]
["own"]
origins = ["https://own.example"]
user_secrets = ["{SECRET}"]
["closed"]
public = false
token = "closed-token"
user_secrets = ["{SECRET}"]
["private"]
public = false
token = "private-token"
["plain"]
token = "plain-token"
"""
TEAM = "/v1/sites/team/users"
ADMIN = {"Authorization": "Bearer admin-token"}
AVATAR = "https://example.org/anna.png"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def user_token(*sees: str, site: str = "team", secret: str = SECRET, hours: float = 1) -> str:
    return mint(secret, site, User("zoe", sees=sees), expires=time.time() + hours * 3600)


@pytest.fixture
async def service(make_service: MakeService, tmp_path: Path) -> Service:
    """Anna is here with two tabs, Bob with one, and somebody whom nobody knows."""
    file = tmp_path / "sites.toml"
    file.write_text(SITES)
    made: Service = await make_service(SITES_FILE=str(file), ADMIN_TOKEN="admin-token")
    anna = json.dumps({"name": "Anna", "avatar": AVATAR})
    for session, path, details, user in [
        ("session-00000001", "/docs/x", anna, "anna"),
        ("session-00000002", "/docs/y", anna, "anna"),
        ("session-00000003", "/docs/x", "", "bob@example.org"),
        ("session-00000004", "/docs/x", "", ""),
    ]:
        await made.store.heartbeat("team", Heartbeat(session, path, "", "", details, user))
    return made


def problem(answer: httpx.Response) -> tuple[int, str | None, str]:
    """Status, field and detail of a refusal, which is as all are."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body["status"] == answer.status_code
    return answer.status_code, body.get("field"), body["detail"]


async def test_who_is_here(service: Service) -> None:
    answer = await service.client.get(TEAM, headers=ADMIN)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    anna, bob = body["users"]
    assert anna == {
        "userId": "anna", "name": "Anna", "avatar": AVATAR, "since": anna["since"],
        "lastSeen": anna["lastSeen"], "sessions": 2, "paths": ["/docs/x", "/docs/y"],
    }  # fmt: skip
    assert (bob["userId"], bob["name"], bob["avatar"]) == ("bob@example.org", None, None)
    assert (body["total"], body["nextCursor"]) == (2, None)
    assert anna["since"] <= anna["lastSeen"] <= body["asOf"]
    assert "session-" not in answer.text


async def test_of_one_page_and_page_by_page(service: Service) -> None:
    on_y = (await service.client.get(f"{TEAM}?path=/docs/y/?q=1", headers=ADMIN)).json()
    assert [row["userId"] for row in on_y["users"]] == ["anna"]
    assert on_y["total"] == 1
    first = (await service.client.get(f"{TEAM}?limit=1", headers=ADMIN)).json()
    assert [row["userId"] for row in first["users"]] == ["anna"]
    query = {"limit": "1", "cursor": first["nextCursor"]}
    second = (await service.client.get(TEAM, headers=ADMIN, params=query)).json()
    assert [row["userId"] for row in second["users"]] == ["bob@example.org"]
    assert first["total"] == second["total"] == 2


async def test_a_user_sees_no_more_by_a_cursor_of_another_page(service: Service) -> None:
    query = {"path": "/docs/y", "cursor": write_user_cursor("/\t")}
    headers = bearer(user_token("/docs/y"))
    body = (await service.client.get(TEAM, headers=headers, params=query)).json()
    assert [row["userId"] for row in body["users"]] == ["anna"]


async def test_statuses_in_order(service: Service) -> None:
    asked = {"userIds": ["nobody", "bob@example.org", "anna", "nobody"]}
    body = (await service.client.post(f"{TEAM}/status", headers=ADMIN, json=asked)).json()
    assert [(row["userId"], row["online"]) for row in body["statuses"]] == [
        ("nobody", False), ("bob@example.org", True), ("anna", True), ("nobody", False),
    ]  # fmt: skip
    assert [row["lastSeen"] is None for row in body["statuses"]] == [True, False, False, True]
    assert body["asOf"]


async def test_one_user(service: Service) -> None:
    found = (await service.client.get(f"{TEAM}/anna", headers=ADMIN)).json()
    assert (found["online"], found["sessions"]) == (True, 2)
    for session in ("session-00000001", "session-00000002"):
        await service.store.end("team", session)
    found = (await service.client.get(f"{TEAM}/anna", headers=ADMIN)).json()
    assert (found["online"], found["sessions"], found["since"]) == (False, 0, None)
    assert (found["name"], found["paths"]) == ("Anna", [])
    missing = await service.client.get(f"{TEAM}/nobody", headers=ADMIN)
    assert problem(missing) == (404, None, "nothing is known of a user nobody")
    # Whoever is called as an endpoint is, is a user like any other.
    assert (await service.client.get(f"{TEAM}/status", headers=ADMIN)).status_code == 404


async def test_an_erased_user_is_unknown(service: Service) -> None:
    for _ in range(2):
        answer = await service.client.delete(f"{TEAM}/anna", headers=bearer("team-token"))
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["cache-control"] == "no-store"
    assert (await service.client.get(f"{TEAM}/anna", headers=ADMIN)).status_code == 404
    assert (await service.client.get(TEAM, headers=ADMIN)).json()["total"] == 1
    stats = (await service.client.get("/v1/sites/team/stats")).json()
    assert (stats["activeVisitors"], stats["activeUsers"]) == (2, 1)
    metrics = (await service.client.get("/metrics")).text
    assert "anna" not in metrics
    assert "/v1/sites/{site}/users/{user_id}" in metrics


# method, path behind /users, body -> status, field
@pytest.mark.parametrize(
    "method, path, body, status, field",
    [
        ("GET", "?limit=0", None, 422, "limit"),
        ("GET", "?limit=1001", None, 422, "limit"),
        ("GET", "?limit=x", None, 422, "limit"),
        ("GET", "?path=docs", None, 422, "path"),
        ("GET", "?path=", None, 422, "path"),
        ("GET", "?cursor=x", None, 422, "cursor"),
        ("GET", "/a%20b", None, 422, "userId"),
        ("GET", "/" + "a" * 65, None, 422, "userId"),
        ("DELETE", "/%C3%A4", None, 422, "userId"),
        ("POST", "", None, 405, None),
        ("POST", "/anna", None, 405, None),
        ("PUT", "/status", None, 405, None),
        ("POST", "/status", "", 400, None),
        ("POST", "/status", "[]", 400, None),
        ("POST", "/status", '{"userIds":["\\ud800"]}', 422, "userIds[0]"),
        ("POST", "/status", "{}", 422, "userIds"),
        ("POST", "/status", '{"userIds":"anna"}', 422, "userIds"),
        ("POST", "/status", '{"userIds":["anna",1]}', 422, "userIds[1]"),
        ("POST", "/status", '{"userIds":["anna","b c"]}', 422, "userIds[1]"),
        ("POST", "/status", '{"userIds":["anna\\n"]}', 422, "userIds[0]"),
        ("POST", "/status", '{"userIds":[],"userIds":["anna"]}', 422, "userIds"),
        ("POST", "/status", '{"userIds":[],"x":1,"x":1}', 422, "x"),
        ("POST", "/status", json.dumps({"userIds": ["a"] * 501}), 422, "userIds"),
        ("POST", "/status", json.dumps({"userIds": ["a" * 64] * 700}), 413, None),
    ],
)
async def test_what_is_wrong_is_named(
    service: Service, method: str, path: str, body: str | None, status: int, field: str | None
) -> None:
    answer = await service.client.request(method, TEAM + path, headers=ADMIN, content=body)
    found, named, detail = problem(answer)
    assert (found, named) == (status, field)
    assert not field or "Expected" not in detail
    assert ("allow" in answer.headers) == (status == 405)


async def test_500_of_the_longest_fit(service: Service) -> None:
    asked = {"userIds": [f"{n:064d}" for n in range(500)]}
    answer = await service.client.post(f"{TEAM}/status", headers=ADMIN, json=asked)
    assert len(answer.json()["statuses"]) == 500


# who asks -> token, and status of the list, of a page, of another, of statuses, a user, an erasure
AUTHORITY: dict[str, tuple[str | None, list[int]]] = {
    "nobody": (None, [401] * 6),
    "a guess": ("wrong", [401] * 6),
    "another site": ("closed-token", [401] * 6),
    "a forger": (user_token("/*", secret="another secret of thirty-two bytes"), [401] * 6),
    "a user of another site": (user_token("/*", site="own"), [401] * 6),
    "a user of yesterday": (user_token("/*", hours=-1), [401] * 6),
    "a user of a day too far": (user_token("/*", hours=48), [401] * 6),
    "the operator": ("admin-token", [200, 200, 200, 200, 200, 204]),
    "the site": ("team-token", [200, 200, 200, 200, 200, 204]),
    "a user who sees nothing": (user_token(), [403] * 6),
    "of one page": (user_token("/docs/x"), [403, 200, 403, 403, 403, 403]),
    "of a folder": (user_token("/docs/*"), [403, 200, 200, 403, 403, 403]),
    "of two": (user_token("/other/*", "/docs/y"), [403, 403, 200, 403, 403, 403]),
    "of what is above": (user_token("/docs"), [403] * 6),
    "of all, *": (user_token("*"), [200, 200, 200, 200, 200, 403]),
    "of all, /*": (user_token("/*"), [200, 200, 200, 200, 200, 403]),
}


@pytest.mark.parametrize("who", AUTHORITY)
async def test_who_may_see_whom(service: Service, who: str) -> None:
    token, statuses = AUTHORITY[who]
    headers = bearer(token) if token else {}
    asked: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("GET", "?path=/docs/x", None),
        ("GET", "?path=/docs/y", None),
        ("POST", "/status", {"userIds": ["anna"]}),
        ("GET", "/anna", None),
        ("DELETE", "/anna", None),
    ]
    for (method, path, body), status in zip(asked, statuses, strict=True):
        answer = await service.client.request(method, TEAM + path, headers=headers, json=body)
        assert answer.status_code == status, (method, path)
        assert ("www-authenticate" in answer.headers) == (status == 401)
        if status >= 400:
            problem(answer)
            assert "anna" not in answer.text


# site, token -> status, and what the detail says
@pytest.mark.parametrize(
    "site, token, status, detail",
    [
        ("plain", None, 404, "user_secrets in PRESENCE_SITES_FILE"),
        ("plain", "admin-token", 404, "user_secrets in PRESENCE_SITES_FILE"),
        ("private", None, 401, "a token is needed"),  # as one that is not there
        ("private", "wrong", 401, "does not hold"),
        ("private", "private-token", 404, "user_secrets in PRESENCE_SITES_FILE"),
        ("unknown", None, 401, "a token is needed"),
        ("unknown", "wrong", 401, "does not hold"),
        ("unknown", "admin-token", 404, "there is no site 'unknown'"),
        ("closed", None, 401, "a token is needed"),
        ("closed", "closed-token", 200, ""),
    ],
)
@pytest.mark.parametrize("path", ["", "/status", "/anna"])
async def test_sites_without_users(
    service: Service, site: str, token: str | None, status: int, detail: str, path: str
) -> None:
    headers = bearer(token) if token else {}
    method = "POST" if path == "/status" else "GET"
    answer = await service.client.request(
        method, f"/v1/sites/{site}/users{path}", headers=headers, json={"userIds": []}
    )
    if status == 200:
        assert answer.status_code == (404 if path == "/anna" else 200)
        return
    found, field, told = problem(answer)
    assert (found, field) == (status, None)
    assert detail in told


async def test_without_a_sites_file_it_says_what_to_set(make_service: MakeService) -> None:
    service = await make_service()
    answer = await service.client.get(TEAM)
    assert problem(answer)[0] == 404
    assert "user_secrets in PRESENCE_SITES_FILE" in problem(answer)[2]


async def test_guesses_are_limited_and_expired_tokens_are_none(
    make_service: MakeService, service: Service, tmp_path: Path
) -> None:
    limited = await make_service(
        SITES_FILE=str(tmp_path / "sites.toml"), ADMIN_TOKEN="admin-token",
        REQUESTS_PER_SECOND="2", KEY_PREFIX="guesses",
    )  # fmt: skip
    statuses = [
        (await limited.client.get(TEAM, headers=bearer("wrong"))).status_code for _ in range(6)
    ]
    assert statuses == [401] * 4 + [429] * 2
    # The holder of a right one is not let in by that address either.
    answer = await limited.client.get(TEAM, headers=bearer("team-token"))
    assert answer.status_code == 429
    assert answer.headers["retry-after"]
    for _ in range(100):
        expired = await service.client.get(TEAM, headers=bearer(user_token("*", hours=-1)))
        assert problem(expired)[2] == "this token has expired: get a new one"


async def test_backends_are_not_limited_and_users_are(
    make_service: MakeService, service: Service, tmp_path: Path
) -> None:
    limited = await make_service(
        SITES_FILE=str(tmp_path / "sites.toml"), REQUESTS_PER_SECOND="2", KEY_PREFIX="backends"
    )
    for token, last in [("team-token", 200), (user_token("*"), 429)]:
        for _ in range(8):
            answer = await limited.client.get(TEAM, headers=bearer(token))
        assert answer.status_code == last


@pytest.mark.parametrize(
    "site, origin, allowed",
    [
        ("team", "https://any.example", "*"),
        ("own", "https://own.example", "https://own.example"),
        ("own", "https://foreign.example", None),
        ("closed", "https://any.example", "*"),
    ],
)
@pytest.mark.parametrize("method, path", [("GET", ""), ("POST", "/status"), ("GET", "/anna")])
async def test_pages_may_read_with_a_token(
    service: Service, site: str, origin: str, allowed: str | None, method: str, path: str
) -> None:
    url, headers = f"/v1/sites/{site}/users{path}", {"Origin": origin}
    asked = headers | {"Access-Control-Request-Method": method}
    preflight = await service.client.options(url, headers=asked)
    assert preflight.headers.get("access-control-allow-origin") == allowed
    assert preflight.status_code == (204 if allowed else 405)
    if allowed:
        assert method in preflight.headers["access-control-allow-methods"]
        assert "Authorization" in preflight.headers["access-control-allow-headers"]
    for authority in ({}, bearer(user_token("*", site=site))):
        answer = await service.client.request(
            method, url, headers=headers | authority, json={"userIds": []}
        )
        assert answer.headers.get("access-control-allow-origin") == allowed


async def test_no_page_may_erase(service: Service) -> None:
    headers = ADMIN | {"Origin": "https://any.example"}
    answer = await service.client.delete(f"{TEAM}/anna", headers=headers)
    assert "access-control-allow-origin" not in answer.headers
    preflight = await service.client.options(
        f"{TEAM}/anna", headers=headers | {"Access-Control-Request-Method": "DELETE"}
    )
    assert "DELETE" not in preflight.headers.get("access-control-allow-methods", "")


async def test_sessions_say_whose_they_are(service: Service) -> None:
    url = "/v1/sites/team/sessions"
    rows = (await service.client.get(url, headers=ADMIN)).json()["sessions"]
    users = {row["sessionId"][-1]: row.get("userId") for row in rows}
    assert users == {"1": "anna", "2": "anna", "3": "bob@example.org", "4": None}
    one = (await service.client.get(f"{url}/session-00000003", headers=ADMIN)).json()
    assert one["userId"] == "bob@example.org"


async def test_the_examples_of_the_document_are_answered(service: Service) -> None:
    paths = openapi.build()["paths"]
    for operation in OPERATIONS:
        if operation.tag != "Users" or operation.method == "DELETE":
            continue
        url = operation.path.format(site="team", user_id="anna")
        answer = await service.client.request(
            operation.method, url, headers=ADMIN, json=operation.example
        )
        described = paths[operation.path][operation.method.lower()]["responses"]["200"]
        example = described["content"]["application/json"]["example"]
        assert answer.json().keys() == example.keys()
        for name in ("users", "statuses"):
            if name in example:
                assert answer.json()[name][0].keys() == example[name][0].keys()
