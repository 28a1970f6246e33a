"""What a share token may, on every endpoint there is, and that it tells nobody which sites are."""

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.live import _events
from service.api.openapi.operation import SESSION, USER, Operation
from service.api.openapi.operations import OPERATIONS
from service.api.share_tokens import ShareTokens, digest_of
from service.errors import StoreUnreachable
from service.live.messages import SubscribeOptions
from tests.conftest import MakeService, Service

ADMIN, CLOSED = "admin-token", "closed-token"
MADE_UP = "share_" + "M" * 43  # by its form; a random one would give tests random names
SITES = f"""
["closed"]
public = false
token = "{CLOSED}"
user_secrets = ["a secret of thirty-two bytes, or more"]
["other"]
public = false
token = "other-token"
["guarded"]
public = false
origins = ["https://guarded.example"]
["sealed"]
public = false
["open"]
["owned"]
token = "owned-token"
"""
# Operations that a share token opens. Every other one answers as if it were any text; where it
# takes no token at all, such as for a heartbeat, it is open with a share token as well.
OPENED = {"stats", "active", "history", "sources", "live", "badge"}
OTHERS = {
    *("heartbeat", "heartbeats", "leave", "recordView"),
    *("users", "userStatuses", "user", "eraseUser"),
    *("shares", "makeShare", "revokeShare"),
    *("sites", "sessions", "session", "endSession", "views", "events"),
    *("webhooks", "testWebhook"),
    *("livez", "readyz", "metrics", "openapi", "docs", "start", "statsPage", "client"),
}


def bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token is not None else {}


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "sites.toml"
    file.write_text(SITES)
    return {"SITES_FILE": str(file), "ADMIN_TOKEN": ADMIN, "METRICS_TOKEN": "metrics-token"}


async def make_share(service: Service, site: str, name: str = "lobby") -> str:
    answer = await service.client.post(f"/v1/sites/{site}/shares/{name}", headers=bearer(ADMIN))
    assert answer.status_code == 201
    token: str = answer.json()["token"]
    return token


async def ask(
    service: Service, operation: Operation, site: str, token: str | None, query: str | None = None
) -> httpx.Response:
    """The answer to the example of an operation; of a stream only the head, for it has no end."""
    path = operation.path.format(site=site, session_id=SESSION, user_id=USER, name="lobby")
    method = "HEAD" if operation.is_stream else operation.method
    url = path + (operation.query if query is None else query)
    body = None if operation.example is None else json.dumps(operation.example)
    answer: httpx.Response = await service.client.request(
        method, url, content=body, headers=bearer(token)
    )
    return answer


async def test_what_it_may(
    make_service: MakeService, settings: dict[str, str], backend_url: str
) -> None:
    """Every operation of the document, on every backend: a new one has to be put on a side."""
    assert {operation.id for operation in OPERATIONS} == OPENED | OTHERS
    service = await make_service(backend_url, **settings)
    share = await make_share(service, "closed")
    for operation in OPERATIONS:
        answer = await ask(service, operation, "closed", share)
        same_but_made_up = await ask(service, operation, "closed", MADE_UP)
        if operation.id in OPENED:
            assert answer.status_code == 200, operation.id
            assert same_but_made_up.status_code == 403, operation.id
        else:
            assert answer.status_code == same_but_made_up.status_code, operation.id
            if operation.tag in ("Users", "Share", "Operate"):
                assert answer.status_code in (401, 403), operation.id
    # It was not revoked, nor was anything else done, by asking for all of that.
    listed = await service.client.get("/v1/sites/closed/shares", headers=bearer(ADMIN))
    assert [row["name"] for row in listed.json()["shares"]] == ["lobby"]


@pytest.mark.parametrize(
    "path, status",
    [
        ("live?feed=1", 200),
        ("live?path=/pricing", 200),
        ("live?users=1", 401),  # names are not numbers
        ("live?users=1&path=/", 401),
        ("stats?limit=1000", 200),
        ("badge.svg?label=here", 200),
        ("views?format=csv", 403),
        ("sessions", 403),
    ],
)
async def test_what_it_may_in_detail(
    make_service: MakeService, settings: dict[str, str], path: str, status: int
) -> None:
    service = await make_service(**settings)
    share = await make_share(service, "closed")
    method = "HEAD" if path.startswith("live") else "GET"
    url = f"/v1/sites/closed/{path}"
    answer = await service.client.request(method, url, headers=bearer(share))
    assert answer.status_code == status


async def test_what_it_reads_names_nobody(
    make_service: MakeService, settings: dict[str, str]
) -> None:
    """As of a public site: no session, no user."""
    service = await make_service(**settings)
    share = await make_share(service, "closed")
    body = {"heartbeats": [{"sessionId": SESSION, "currentPath": "/", "userId": USER}]}
    done = await service.client.post(
        "/v1/sites/closed/heartbeats", json=body, headers=bearer(CLOSED)
    )
    assert done.status_code == 200
    for path in ("stats", "active", "history", "badge.svg"):
        answer = await service.client.get(f"/v1/sites/closed/{path}", headers=bearer(share))
        assert answer.status_code == 200
        assert SESSION not in answer.text
        assert USER not in answer.text
    assert (await service.client.get("/v1/sites/closed/active", headers=bearer(share))).json()[
        "activeVisitors"
    ] == 1


@pytest.mark.fault("B25")
@pytest.mark.parametrize(
    "token", [None, MADE_UP, "the other site's share", "any text", "share_short", "other-token"]
)
async def test_a_private_site_looks_like_one_that_is_not_there(
    make_service: MakeService, settings: dict[str, str], token: str | None
) -> None:
    """To whoever has no token that opens it, and to whoever has one that was revoked."""
    service = await make_service(**settings)
    if token == "the other site's share":
        token = await make_share(service, "other")
    revoked = await make_share(service, "closed")
    await service.client.delete("/v1/sites/closed/shares/lobby", headers=bearer(CLOSED))
    for operation in OPERATIONS:
        if "{site}" not in operation.path or operation.tag not in ("Read", "Share"):
            continue
        answers = [
            await ask(service, operation, "nowhere", token),
            await ask(service, operation, "closed", token),
            await ask(service, operation, "sealed", token),
            await ask(service, operation, "guarded", token),
            *([await ask(service, operation, "closed", revoked)] if token is not None else []),
        ]
        seen = {(answer.status_code, answer.text, _headers_of(answer)) for answer in answers}
        assert len(seen) == 1, operation.id
        assert answers[0].status_code in (401, 403), operation.id


def _headers_of(answer: httpx.Response) -> tuple[tuple[str, str], ...]:
    return tuple(
        sorted((name, value) for name, value in answer.headers.items() if name != "x-request-id")
    )


async def test_while_redis_is_away_nothing_opens_and_nothing_is_told(
    make_service: MakeService, settings: dict[str, str]
) -> None:
    service = await make_service("redis://127.0.0.1:1", **settings)
    for site in ("closed", "nowhere", "sealed"):
        answer = await service.client.get(f"/v1/sites/{site}/stats", headers=bearer(MADE_UP))
        assert answer.status_code == 503, site
    for token, status in ((None, 401), ("any text", 403), ("share_short", 403)):
        for site in ("closed", "nowhere", "sealed"):
            answer = await service.client.get(f"/v1/sites/{site}/stats", headers=bearer(token))
            assert answer.status_code == status, site


async def test_a_site_that_is_not_listed_any_more_is_closed(
    make_service: MakeService, settings: dict[str, str], tmp_path: Path
) -> None:
    """Though its shares are still kept; and they hold again where it is back."""
    fewer = tmp_path / "fewer.toml"
    fewer.write_text('["other"]\npublic = false\n')
    with_it = await make_service("memory://", **settings)
    without = await make_service("memory://", **settings | {"SITES_FILE": str(fewer)})
    share = await make_share(with_it, "closed")
    for store in (with_it.store, without.store):  # each has a Redis of its own
        digest = next(iter(await with_it.store.share_digests("closed")))
        await store.add_share("closed", "again", digest)
    answers = [
        await service.client.get("/v1/sites/closed/stats", headers=bearer(share))
        for service in (with_it, without)
    ]
    assert [answer.status_code for answer in answers] == [200, 403]


async def test_a_public_site_asks_redis_for_no_token(
    make_service: MakeService, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await make_service(**settings)

    async def asked(self: ShareTokens, site: str, digest: str) -> bool:
        raise AssertionError(site)

    monkeypatch.setattr(ShareTokens, "holds", asked)
    for token in (None, MADE_UP, "any text"):
        answer = await service.client.get("/v1/sites/open/stats", headers=bearer(token))
        assert answer.status_code == 200
    answer = await service.client.get("/v1/sites/closed/stats", headers=bearer(CLOSED))
    assert answer.status_code == 200


# site, token -> what listing, making and revoking answer
OWNERS: list[tuple[str, str | None, list[int]]] = [
    ("closed", ADMIN, [200, 201, 204]),
    ("closed", CLOSED, [200, 201, 204]),
    ("closed", "other-token", [403, 403, 403]),
    ("closed", "share", [403, 403, 403]),
    ("closed", MADE_UP, [403, 403, 403]),
    ("closed", None, [401, 401, 401]),
    ("sealed", ADMIN, [200, 201, 204]),
    ("sealed", "", [401, 401, 401]),
    ("open", ADMIN, [200, 201, 204]),
    ("open", None, [401, 401, 401]),
    ("owned", "owned-token", [200, 201, 204]),
    ("nowhere", ADMIN, [404, 404, 404]),
    ("nowhere", CLOSED, [403, 403, 403]),
    ("nowhere", None, [401, 401, 401]),
    ("Nowhere", ADMIN, [422, 422, 422]),
]


@pytest.mark.parametrize("site, token, statuses", OWNERS)
async def test_who_may_make_and_revoke(
    make_service: MakeService,
    settings: dict[str, str],
    site: str,
    token: str | None,
    statuses: list[int],
) -> None:
    service = await make_service(**settings)
    if token == "share":
        token = await make_share(service, site, "first")
    url = f"/v1/sites/{site}/shares"
    found = [
        await service.client.request(method, url + name, headers=bearer(token))
        for method, name in (("GET", ""), ("POST", "/lobby"), ("DELETE", "/lobby"))
    ]
    assert [answer.status_code for answer in found] == statuses
    for answer in found:
        # No page of another host may do it, whatever a browser lets it try.
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "method, name, status",
    [
        ("POST", "lobby", 409),  # there is one
        ("POST", "Lobby", 422),
        ("POST", "-", 422),
        ("POST", "a" * 64, 422),
        ("POST", "a%2Fb", 404),
        ("DELETE", "Lobby", 422),
        ("DELETE", "hall", 404),
        ("GET", "lobby", 405),
        ("PUT", "hall", 405),
    ],
)
async def test_what_is_refused(
    make_service: MakeService, settings: dict[str, str], method: str, name: str, status: int
) -> None:
    service = await make_service(**settings)
    share = await make_share(service, "closed")
    url = f"/v1/sites/closed/shares/{name}"
    answer = await service.client.request(method, url, headers=bearer(ADMIN))
    assert answer.status_code == status
    still = await service.client.get("/v1/sites/closed/active", headers=bearer(share))
    assert still.status_code == 200


async def test_a_token_is_told_once_and_kept_nowhere(
    make_service: MakeService,
    settings: dict[str, str],
    backend_url: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    service = await make_service(backend_url, **settings, LOG_LEVEL="debug")
    share = await make_share(service, "closed")
    url = "/v1/sites/closed"
    for token in (share, MADE_UP):
        await service.client.get(f"{url}/stats", headers=bearer(token))
        await service.client.get(f"{url}/stats?share={token}", headers=bearer(token))
    listed = await service.client.get(f"{url}/shares", headers=bearer(ADMIN))
    metrics = await service.client.get("/metrics", headers=bearer("metrics-token"))
    client: Any = service.store.connection.client
    kept = await client.hgetall(service.store.keys.of_site("closed")[0].shares)
    output = capfd.readouterr()
    for text in (listed.text, metrics.text, str(kept), output.out, output.err):
        assert share[6:] not in text
        assert MADE_UP[6:] not in text
    assert list(kept) == ["lobby"]


async def test_a_revoked_token_is_refused_at_once(
    make_service: MakeService, settings: dict[str, str], backend_url: str
) -> None:
    service = await make_service(backend_url, **settings)
    keeps = await make_share(service, "closed", "hall")
    share = await make_share(service, "closed")

    async def status(token: str) -> int:
        answer = await service.client.get("/v1/sites/closed/stats", headers=bearer(token))
        return int(answer.status_code)

    assert [await status(share), await status(keeps)] == [200, 200]
    await service.client.delete("/v1/sites/closed/shares/lobby", headers=bearer(ADMIN))
    assert [await status(share), await status(keeps)] == [403, 200]
    assert await make_share(service, "closed") != share


@pytest.mark.parametrize("ends_by", ["revoked", "redis is away"])
async def test_a_stream_ends(
    make_service: MakeService, settings: dict[str, str], ends_by: str
) -> None:
    """Before it tells anything more, and though nothing happens on the site."""
    service = await make_service(**settings)
    hub = service.app.state.context.hub
    is_away = False

    async def read(site: str) -> frozenset[str]:
        if is_away:
            raise StoreUnreachable("Redis cannot be reached")
        held: frozenset[str] = await service.store.share_digests(site)
        return held

    digest = digest_of((await make_share(service, "closed")).encode())
    assert digest
    tokens = ShareTokens(read)
    tokens.fresh_s = 0.01
    with hub.subscribed("closed", SubscribeOptions()) as subscriber:
        await hub.catch_up("closed", subscriber, None)
        told = _events(hub, "closed", subscriber, math.inf, tokens.lease("closed", digest))
        chunks = [await anext(told) for _ in range(4)]
        assert chunks[0].startswith(b"retry:")
        assert b"event: snapshot" in chunks[1]
        assert chunks[3] == b":\n\n"
        if ends_by == "revoked":
            await service.client.delete("/v1/sites/closed/shares/lobby", headers=bearer(ADMIN))
        else:
            is_away = True
        async with asyncio.timeout(30):
            assert [chunk async for chunk in told if chunk != b":\n\n"] == []
