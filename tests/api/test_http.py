"""The HTTP contract, endpoint by endpoint, as tables of cases."""

import asyncio
import csv
import io
import json
import logging
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from service.app import ROUTES
from service.redis.embedded import make_token
from service.store.redis_cost import OUTCOME_S, SITE_PART_S
from tests.api.batches import full_batch
from tests.conftest import NOW, Clock, MakeService, Service
from tests.servers import Server

S = "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"
BEAT = {"sessionId": S, "currentPath": "/a"}
SITE = "/v1/sites/blog"
DEAD = "redis://127.0.0.1:1"
ADMIN = {"Authorization": "Bearer admin-token"}
WRITES = ("heartbeat", "heartbeats", "leave", "views")


def session(n: int) -> str:
    return f"session-{n:012d}"


def refusal(answer: httpx.Response) -> tuple[int, str | None]:
    """Status and field of a problem that is well-formed by RFC 9457 and says what is wrong."""
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert set(problem) - {"field"} == {"type", "title", "status", "detail"}
    assert problem["status"] == answer.status_code
    assert problem["title"]
    assert len(problem["detail"]) > 5
    return answer.status_code, problem.get("field")


async def beat(service: Service, **fields: Any) -> str:
    """Sends a heartbeat and gives its outcome."""
    answer = await service.client.post(f"{SITE}/heartbeat", json=BEAT | fields)
    assert answer.status_code == 204, answer.text
    status: str = answer.headers["presence-status"]
    return status


# Heartbeats


async def test_outcomes_of_heartbeats(make_service: MakeService) -> None:
    service = await make_service()
    service.store.clock = clock = Clock()
    # (ms later, path) -> outcome
    for later_ms, path, outcome in [
        (0, "/a", "created"),
        (9_999, "/a", "duplicate"),
        (0, "/b", "moved"),
        (0, "/a?query", "moved"),
        (10_000, "/a/", "refreshed"),
        (120_000, "/a", "created"),
    ]:
        clock.advance(later_ms)
        assert await beat(service, currentPath=path) == outcome


async def test_a_heartbeat_is_answered_with_headers_only(make_service: MakeService) -> None:
    service = await make_service()
    answer = await service.client.post(f"{SITE}/heartbeat", json=BEAT)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    exposed = answer.headers["access-control-expose-headers"]
    assert {"Presence-Status", "Presence-Dropped", "Presence-Interval"} <= set(exposed.split(", "))
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("seconds, told", [("30", "30"), ("0.5", "0.5"), ("45.0", "45")])
@pytest.mark.parametrize("query, headers", [("", {}), ("?counts=1", {}), ("", {"DNT": "1"})])
async def test_when_the_next_heartbeat_is_wanted(
    make_service: MakeService, seconds: str, told: str, query: str, headers: dict[str, str]
) -> None:
    service = await make_service(
        HEARTBEAT_INTERVAL=seconds, HEARTBEAT_DEDUP="0.1", RESPECT_DNT="true"
    )
    for _ in range(2):
        answer = await service.client.post(f"{SITE}/heartbeat{query}", json=BEAT, headers=headers)
        assert answer.headers["presence-interval"] == told


async def test_counts(make_service: MakeService) -> None:
    service = await make_service()
    for n in range(3):
        await beat(service, sessionId=session(n), currentPath="/other")
    answer = await service.client.post(f"{SITE}/heartbeat?counts=1", json=BEAT)
    assert answer.status_code == 200
    assert answer.headers["presence-status"] == "created"
    counts = answer.json()
    assert isinstance(counts.pop("asOf"), int)
    assert counts == {
        "status": "created",
        "activeVisitors": 4,
        "activeOnPath": 1,
        "heartbeatIntervalMs": 30_000,
    }
    for query in ("", "?counts=0", "?counts=", "?counts=11", "?other=1"):
        answer = await service.client.post(f"{SITE}/heartbeat{query}", json=BEAT)
        assert answer.status_code == 204


@pytest.mark.parametrize(
    "headers, reason",
    [
        ({"User-Agent": "Googlebot/2.1"}, "bot"),
        ({"Sec-Purpose": "prefetch"}, "prefetch"),
        ({"DNT": "1"}, "dnt"),
        ({"Sec-GPC": "1"}, "dnt"),
    ],
)
@pytest.mark.parametrize("endpoint", ["heartbeat", "views"])
async def test_what_is_dropped_writes_nothing(
    make_service: MakeService, endpoint: str, headers: dict[str, str], reason: str
) -> None:
    service = await make_service(RESPECT_DNT="true")
    body = BEAT if endpoint == "heartbeat" else {"sessionId": S, "path": "/a"}
    answer = await service.client.post(f"{SITE}/{endpoint}", json=body, headers=headers)
    assert answer.status_code == 204
    assert answer.headers["presence-status"] == "dropped"
    assert answer.headers["presence-dropped"] == reason
    stats = (await service.client.get(f"{SITE}/stats")).json()
    assert (stats["activeVisitors"], stats["totalPageViews"], stats["uniqueVisitors"]) == (0, 0, 0)
    metrics = (await service.client.get("/metrics")).text
    assert f'presence_dropped_total{{reason="{reason}"}} 1.0' in metrics


async def test_dnt_counts_unless_it_is_respected(make_service: MakeService) -> None:
    service = await make_service()
    answer = await service.client.post(f"{SITE}/heartbeat", json=BEAT, headers={"DNT": "1"})
    assert answer.headers["presence-status"] == "created"
    assert "presence-dropped" not in answer.headers


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "text/plain;charset=UTF-8", "image/png", "", "\xff"]
)
@pytest.mark.parametrize("endpoint", WRITES)
async def test_the_content_type_is_not_looked_at(
    make_service: MakeService, endpoint: str, content_type: str | None
) -> None:
    bodies: dict[str, Any] = {
        "heartbeat": BEAT,
        "heartbeats": {"heartbeats": [BEAT]},
        "leave": {"sessionId": S},
        "views": {"sessionId": S, "path": "/"},
    }
    service = await make_service()
    headers = [] if content_type is None else [(b"content-type", content_type.encode("latin-1"))]
    body = json.dumps(bodies[endpoint]).encode()
    answer = await service.client.post(f"{SITE}/{endpoint}", content=body, headers=headers)
    assert answer.status_code in (200, 204)


# Batches


async def test_a_batch_is_answered_in_order(make_service: MakeService) -> None:
    service = await make_service()
    batch = [
        {"sessionId": session(1), "currentPath": "/a"},
        {"sessionId": session(2), "currentPath": "/a"},
        {"sessionId": session(1), "currentPath": "/b"},
        {"sessionId": session(2), "currentPath": "/a/"},
    ]
    answer = await service.client.post(f"{SITE}/heartbeats", json={"heartbeats": batch})
    assert answer.status_code == 200
    outcomes = ["created", "created", "moved", "duplicate"]
    assert answer.json() == {"results": outcomes, "errors": []}
    answer = await service.client.post(f"{SITE}/heartbeats", json={"heartbeats": []})
    assert answer.json() == {"results": [], "errors": []}


# What stands for a heartbeat in a batch -> the field that is wrong
INVALID_ITEMS: list[tuple[str, str]] = [
    ('{"sessionId": "%s", "currentPath": "//wp-login.php"}', "currentPath"),
    ('{"sessionId": "%s", "currentPath": "/\\ud800"}', "currentPath"),
    ('{"sessionId": "%s", "currentPath": "/\\u200b"}', "currentPath"),
    ('{"sessionId": "%s", "currentPath": 5}', "currentPath"),
    ('{"sessionId": "%s"}', "currentPath"),
    ('{"sessionId": "%.10s", "currentPath": "/"}', "sessionId"),
    ('{"sessionId": "%s", "currentPath": "/", "country": "Germany"}', "country"),
    ('{"sessionId": "%s", "currentPath": "/", "latitude": 1e999}', "latitude"),
    ('{"sessionId": "%s", "currentPath": "/", "latitude": 1' + "0" * 5000 + "}", "latitude"),
    ('{"sessionId": "%s", "currentPath": "/", "currentPath": "/b"}', "currentPath"),
    ('{"sessionId": "%s", "currentPath": "/", "x": {"y": 1, "y": 2}}', "y"),
    ('["%s"]', "heartbeats"),
    ('"%s"', "heartbeats"),
]


@pytest.mark.fault("B31")
@pytest.mark.parametrize("item, field", INVALID_ITEMS)
async def test_one_of_a_thousand_is_invalid(
    make_service: MakeService, item: str, field: str
) -> None:
    service = await make_service()
    batch = [f'{{"sessionId": "{session(n)}", "currentPath": "/a"}}' for n in range(1000)]
    batch[321] = item % session(321)
    body = '{"heartbeats": [' + ", ".join(batch) + "]}"
    answer = await service.client.post(f"{SITE}/heartbeats", content=body)
    assert answer.status_code == 200, answer.text
    results, errors = answer.json()["results"], answer.json()["errors"]
    assert results.pop(321) == "invalid"
    assert results == ["created"] * 999
    assert [(error["index"], error["field"]) for error in errors] == [(321, field)]
    assert errors[0]["detail"]
    stats = (await service.client.get(f"{SITE}/stats")).json()
    assert (stats["activeVisitors"], stats["totalPageViews"]) == (999, 999)


@pytest.mark.fault("B31")
async def test_a_batch_of_nothing_valid(make_service: MakeService) -> None:
    service = await make_service(DEAD)  # nothing is to be written
    answer = await service.client.post(f"{SITE}/heartbeats", json={"heartbeats": [{}, 1, None]})
    assert answer.json()["results"] == ["invalid"] * 3
    assert [error["index"] for error in answer.json()["errors"]] == [0, 1, 2]


@pytest.mark.fault("B31")
@pytest.mark.parametrize(
    "body",
    ["{}", '{"heartbeats": {}}', '{"heartbeats": 1}', '{"heartbeats": [], "heartbeats": []}'],
)
async def test_what_is_no_batch(make_service: MakeService, body: str) -> None:
    service = await make_service()
    answer = await service.client.post(f"{SITE}/heartbeats", content=body)
    assert refusal(answer) == (422, "heartbeats")


@pytest.mark.fault("B31")
async def test_a_thousand_of_full_length(make_service: MakeService) -> None:
    service = await make_service()
    answer = await service.client.post(f"{SITE}/heartbeats", content=full_batch())
    assert answer.json() == {"results": ["created"] * 1000, "errors": []}


@pytest.mark.parametrize("size, status", [(1000, 200), (1001, 422)])
async def test_the_size_of_a_batch(make_service: MakeService, size: int, status: int) -> None:
    service = await make_service()
    batch = [{"sessionId": session(n), "currentPath": "/"} for n in range(size)]
    answer = await service.client.post(f"{SITE}/heartbeats", json={"heartbeats": batch})
    assert answer.status_code == status
    if status == 422:
        assert refusal(answer) == (422, "heartbeats")
    active = (await service.client.get(f"{SITE}/active")).json()
    assert active["activeVisitors"] == (size if status == 200 else 0)


# Goodbyes and views


async def test_leave(make_service: MakeService) -> None:
    service = await make_service()
    service.store.clock = clock = Clock()

    async def leave() -> str:
        answer = await service.client.post(f"{SITE}/leave", json={"sessionId": S})
        assert (answer.status_code, answer.content) == (204, b"")
        status: str = answer.headers["presence-status"]
        return status

    async def active() -> int:
        count: int = (await service.client.get(f"{SITE}/active")).json()["activeVisitors"]
        return count

    assert await leave() == "unknown"
    await beat(service)
    assert await leave() == "leaving"
    clock.advance(2_999)
    assert await active() == 1
    assert await beat(service) in ("refreshed", "duplicate")  # it is still here
    clock.advance(2_000)
    assert await active() == 1
    assert await leave() == "leaving"
    clock.advance(3_000)
    assert await active() == 0
    assert await leave() == "unknown"


async def test_views(make_service: MakeService) -> None:
    service = await make_service()
    service.store.clock = clock = Clock()
    for later_ms, path, outcome in [
        (0, "/a", "recorded"),
        (0, "/a?query", "duplicate"),
        (0, "/b", "recorded"),
        (1_799_999, "/a", "duplicate"),
        (1, "/a", "recorded"),
    ]:
        clock.advance(later_ms)
        answer = await service.client.post(f"{SITE}/views", json={"sessionId": S, "path": path})
        assert (answer.status_code, answer.headers["presence-status"]) == (204, outcome)
    stats = (await service.client.get(f"{SITE}/stats")).json()
    assert (stats["totalPageViews"], stats["uniqueVisitors"]) == (3, 1)
    assert stats["activeVisitors"] == 0


# What is refused

BAD_SITES = [
    "{x}",
    "a{b}",
    "a:b",
    "..",
    "...",
    ".a",
    "-a",
    "A",
    "a_b",
    "a" * 64,
    "é",
    "a\n",
    "\x00",
]


@pytest.mark.parametrize("site", BAD_SITES)
async def test_a_bad_site_is_named(make_service: MakeService, site: str) -> None:
    service = await make_service(ADMIN_TOKEN="admin-token")
    for route in ROUTES:
        if "{site}" not in route.path:
            continue
        for method in (route.methods or set()) - {"HEAD"}:
            # Sent as it is: a client would resolve dots.
            path = route.path.format(site=site, session_id=S, user_id="anna", name="hall")
            status, body = await raw_request(
                service.app, method, path, json.dumps(BEAT).encode(), ADMIN
            )
            assert (status, json.loads(body)["field"]) == (422, "site"), (method, route.path)


async def raw_request(
    app: Any,
    method: str,
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    chunks: list[bytes] | None = None,
) -> tuple[int, bytes]:
    """One request by ASGI itself, for what no client would send."""
    parts = [body] if chunks is None else chunks
    sent: list[Any] = []
    messages = iter(
        {"type": "http.request", "body": part, "more_body": n < len(parts) - 1}
        for n, part in enumerate(parts)
    )

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8080),
    }
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


BAD_PATHS = {
    "no slash": "a",
    "host": "//host",
    "scheme": "https://example.org/a",
    "backslash": "/\\host",
    "NUL": "/a\x00b",
    "line feed": "/a\nb",
    "line feed at the end": "/a\n",
    "escape": "/a\x1b[31m",
    "C1 control": "/a\x9bb",
    "direction override": "/a\u202eb",
    "direction isolate": "/a\u2067b",
    "line separator": "/a\u2028b",
    "lone surrogate": "/a\ud83d",
    "zero width": "/a\u200bb",
    "zero width, escaped": "/a%E2%80%8Bb",
    "NUL, escaped": "/a%00b",
    "513 bytes": "/" + "a" * 512,
    "513 bytes of UTF-8": "/" + "é" * 256,
    "empty": "",
    "null": None,
    "number": 7,
    "array": ["/"],
}
BAD_IDS = {
    "15 characters": "a" * 15,
    "65 characters": "a" * 65,
    "line feed at the end": S + "\n",
    "line feed before": "\n" + S,
    "space": "a" * 16 + " ",
    "colon": "a" * 16 + ":",
    "brace": "a" * 16 + "}",
    "NUL": "a" * 16 + "\x00",
    "letters of others": "é" * 16,
    "number": 1234567890123456789,
    "null": None,
    "empty": "",
}


@pytest.mark.parametrize("path", BAD_PATHS.values(), ids=BAD_PATHS.keys())
async def test_a_bad_path_is_named(make_service: MakeService, path: Any) -> None:
    service = await make_service()
    for endpoint, body, field in [
        ("heartbeat", {"sessionId": S, "currentPath": path}, "currentPath"),
        ("views", {"sessionId": S, "path": path}, "path"),
    ]:
        answer = await service.client.post(f"{SITE}/{endpoint}", content=json.dumps(body))
        assert refusal(answer) == (422, field)
    batch = json.dumps({"heartbeats": [BEAT | {"currentPath": path}]})
    answer = await service.client.post(f"{SITE}/heartbeats", content=batch)
    assert answer.json()["results"] == ["invalid"]
    assert answer.json()["errors"][0]["field"] == "currentPath"
    if isinstance(path, str) and "\ud83d" not in path:
        answer = await service.client.get(f"{SITE}/active", params={"path": path})
        assert refusal(answer) == (422, "path")


@pytest.mark.fault("B32")
@pytest.mark.parametrize("shown", ["/café", "/caf%C3%A9", "/cafe\u0301/", "/caf%c3%a9?q=1"])
async def test_a_page_is_found_by_each_of_its_spellings(
    make_service: MakeService, shown: str
) -> None:
    service = await make_service(ADMIN_TOKEN="admin-token")
    for n, path in enumerate(["/caf%C3%A9", "/café", "/cafe\u0301"]):
        body = {"sessionId": session(n), "currentPath": path}
        assert (await service.client.post(f"{SITE}/heartbeat", json=body)).status_code == 204
    view = {"sessionId": session(0), "path": shown}
    answer = await service.client.post(f"{SITE}/views", json=view)
    assert answer.headers["presence-status"] == "duplicate"
    stats = (await service.client.get(f"{SITE}/stats")).json()
    assert stats["activeByPath"] == [{"path": "/café", "count": 3}]
    assert [row["views"] for row in stats["pageStats"]] == [3]
    asked = {"path": shown}
    active = (await service.client.get(f"{SITE}/active", params=asked)).json()
    assert active["activeVisitors"] == 3
    assert ">3</text>" in (await service.client.get(f"{SITE}/badge.svg", params=asked)).text
    listed = await service.client.get(f"{SITE}/sessions", params=asked, headers=ADMIN)
    assert {row["currentPath"] for row in listed.json()["sessions"]} == {"/café"}
    counted = await service.client.post(
        f"{SITE}/heartbeat?counts=1", json={"sessionId": session(0), "currentPath": shown}
    )
    assert counted.json()["activeOnPath"] == 3


@pytest.mark.parametrize("given", BAD_IDS.values(), ids=BAD_IDS.keys())
async def test_a_bad_session_id_is_named(make_service: MakeService, given: Any) -> None:
    service = await make_service(ADMIN_TOKEN="admin-token")
    for endpoint, body in [
        ("heartbeat", BEAT | {"sessionId": given}),
        ("leave", {"sessionId": given}),
        ("views", {"sessionId": given, "path": "/"}),
    ]:
        answer = await service.client.post(f"{SITE}/{endpoint}", content=json.dumps(body))
        assert refusal(answer) == (422, "sessionId")
    if isinstance(given, str) and given:
        for method in ("GET", "DELETE"):
            status, body_sent = await raw_request(
                service.app, method, f"{SITE}/sessions/{given}", b"", ADMIN
            )
            assert (status, json.loads(body_sent)["field"]) == (422, "sessionId")


# query -> field
@pytest.mark.parametrize(
    "url, field",
    [
        *((f"stats?limit={limit}", "limit") for limit in ("0", "1001", "-1", "x", "", "1.5", "²")),
        *((f"history?minutes={n}", "minutes") for n in ("0", "2881", "x", "9" * 5000)),
        *((f"history?hours={n}", "hours") for n in ("0", "9601", "x")),
        *((f"history?days={n}", "days") for n in ("0", "401", "")),
        ("history?hours=1&minutes=1", "hours"),
        ("history?days=1&hours=1", "days"),
        *((f"history?days=1&compare={what}", "compare") for what in ("month", "", "4week")),
        *((f"history{query}compare=week", "compare") for query in ("?", "?minutes=3&")),
        *((f"history?days=9&compare=week&every={n}", "every") for n in (2, 5, 14)),
        ("history?days=9&compare=4weeks&every=28", "every"),
        ("history?days=9&compare=day&every=7", "every"),
        ("active?path=", "path"),
        ("active?path=%00", "path"),
        ("active?path=/a%0a", "path"),
        ("sessions?limit=1001", "limit"),
        ("sessions?limit=0", "limit"),
        ("sessions?path=a", "path"),
        *(
            (f"sessions?cursor={c}", "cursor")
            for c in ("x", "e30=", "bnVsbA==", "%ff", "WzFd", "Wy01LCAxLjAsICJ4Il0=")
        ),
        ("views?limit=0", "limit"),
        ("views?limit=10001", "limit"),
        *((f"views?after={a}", "after") for a in ("x", "-", "1-", "-1", "1-2-3", "%2B", "9" * 30)),
        ("views?format=xml", "format"),
        ("views?format=", "format"),
        *((f"events?limit={limit}", "limit") for limit in ("0", "1001", "x")),
        *((f"events?after={a}", "after") for a in ("x", "1-", "1,2", "1-0/2", "1-0/0,2-0/1")),
        *((f"events?format={kind}", "format") for kind in ("csv", "")),
    ],
)
async def test_a_bad_parameter_is_named(make_service: MakeService, url: str, field: str) -> None:
    service = await make_service(DEAD, ADMIN_TOKEN="admin-token")  # refused before Redis is asked
    assert refusal(await service.client.get(f"{SITE}/{url}", headers=ADMIN)) == (422, field)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"7",
        b'{"sessionId": NaN}',
        b"[" * 10_000,
        b"\xff{}",
        b"\x00",
        b"<xml/>",
        b"sessionId=1&currentPath=/",
    ],
)
@pytest.mark.parametrize("endpoint", WRITES)
async def test_what_is_no_json_object_is_400(
    make_service: MakeService, endpoint: str, body: bytes
) -> None:
    service = await make_service()
    if len(body) > 2048 and endpoint != "heartbeats":
        body = b"[" * 2048
    answer = await service.client.post(f"{SITE}/{endpoint}", content=body)
    assert refusal(answer) == (400, None)


async def test_a_nesting_bomb_is_400(make_service: MakeService) -> None:
    service = await make_service()
    bomb = b'{"heartbeats":[],"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    answer = await service.client.post(f"{SITE}/heartbeats", content=bomb)
    assert refusal(answer) == (400, None)


def padded(body: dict[str, Any], size: int) -> bytes:
    encoded = json.dumps(body).encode()
    return encoded + b" " * (size - len(encoded))


LIMITS = [
    ("heartbeat", BEAT, 2048),
    ("leave", {"sessionId": S}, 2048),
    ("views", {"sessionId": S, "path": "/"}, 2048),
    ("heartbeats", {"heartbeats": [BEAT]}, 6 * 1024 * 1024),
]


@pytest.mark.parametrize("endpoint, body, most", LIMITS)
async def test_the_size_of_a_body(
    make_service: MakeService, endpoint: str, body: dict[str, Any], most: int
) -> None:
    service = await make_service()

    async def chunked(content: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(content), 1000):
            yield content[start : start + 1000]

    async def status(content: Any) -> int:
        answer = await service.client.post(f"{SITE}/{endpoint}", content=content)
        if answer.status_code >= 400:
            assert refusal(answer) == (413, None)
            assert str(most) in answer.json()["detail"]
        code: int = answer.status_code
        return code

    assert await status(padded(body, most)) < 300
    assert await status(chunked(padded(body, most))) < 300
    assert await status(padded(body, most + 1)) == 413
    assert await status(chunked(padded(body, most + 1))) == 413


@pytest.mark.parametrize("endpoint, body, most", LIMITS)
async def test_a_body_that_is_longer_than_it_says(
    make_service: MakeService, endpoint: str, body: dict[str, Any], most: int
) -> None:
    service = await make_service()
    path = f"{SITE}/{endpoint}"
    lying = {"Content-Length": "10"}
    status, _ = await raw_request(service.app, "POST", path, padded(body, most + 1), lying)
    assert status == 413
    # Declared too long: refused before a byte is read.
    status, _ = await raw_request(
        service.app, "POST", path, headers={"Content-Length": "999999999999"}, chunks=[]
    )
    assert status == 413


async def test_an_endless_body_is_not_collected(make_service: MakeService) -> None:
    service = await make_service()
    pulled = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal pulled
        while pulled < 10_000:
            pulled += 1
            yield b" " * 1024

    # ASGITransport hands over chunk by chunk, as they are asked for.
    answer = await service.client.post(f"{SITE}/heartbeat", content=endless())
    assert answer.status_code == 413
    assert pulled <= 4


async def test_a_trickled_body_is_cut_off(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.api.bodies.READ_TIMEOUT_S", 0.05)
    service = await make_service()

    async def trickle() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(5)
        yield b"}"

    started = time.monotonic()
    answer = await service.client.post(f"{SITE}/heartbeat", content=trickle())
    assert refusal(answer) == (408, None)
    assert time.monotonic() - started < 1


# Query strings


async def test_query_strings_reach_neither_redis_nor_logs(
    make_service: MakeService, valkey: Server, key_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as logged:
        service = await make_service(
            valkey.url, LOG_LEVEL="debug", ADMIN_TOKEN="s3cret-admin", NEW_SESSIONS_PER_MINUTE="60"
        )
        for n, path in enumerate(["/a?token=s3cret", "/b#s3cret", "/c/?s3cret#s3cret"]):
            answer = await service.client.post(
                f"{SITE}/heartbeat?s3cret=s3cret",
                json=BEAT
                | {
                    "sessionId": session(n),
                    "currentPath": path,
                    "referrer": "https://user:s3cret@example.org/s3cret?s3cret#s3cret",
                },
                headers={"Authorization": "Bearer s3cret", "Cookie": "s3cret"},
            )
            assert answer.headers["presence-status"] == "created"
            view = {"sessionId": S, "path": path, "referrer": "example.org/?s3cret"}
            await service.client.post(f"{SITE}/views", json=view)
        for headers in (
            {"Authorization": "Bearer s3cret-admin"},
            {"Authorization": "Bearer s3cret"},
        ):
            for url in ("sessions?path=/a&s3cret=1", "views?s3cret=1", "stats?s3cret"):
                await service.client.get(f"{SITE}/{url}", headers=headers)
        metrics = (await service.client.get("/metrics?s3cret")).text
    kept = everything_in(valkey, key_prefix)
    assert "/a" in kept
    assert "example.org" in kept
    # httpx and httpcore are the test's own client.
    own = [row.getMessage() for row in caplog.records if not row.name.startswith("http")]
    for text in (kept, metrics, repr(own), repr(logged)):
        assert "s3cret" not in text


def everything_in(server: Server, key_prefix: str) -> str:
    """All keys of a prefix and all they hold, as one text."""
    readers = {
        "string": server.client.get,
        "hash": server.client.hgetall,
        "zset": lambda key: server.client.zrange(key, 0, -1, withscores=True),
        "stream": server.client.xrange,
        "set": server.client.smembers,
        "list": lambda key: server.client.lrange(key, 0, -1),
    }
    parts = []
    for key in server.client.scan_iter(f"{key_prefix}:*"):
        kind = server.client.type(key)
        try:
            value = readers[kind](key)
        except UnicodeDecodeError:  # a HyperLogLog: registers, nothing that could be read back
            value = ""
        parts.append(f"{key} {value!r}")
    return "\n".join(parts)


async def test_no_address_is_in_redis(
    make_service: MakeService, valkey: Server, key_prefix: str
) -> None:
    service = await make_service(
        valkey.url, NEW_SESSIONS_PER_MINUTE="60", TRUSTED_PROXIES="127.0.0.0/8"
    )
    addresses = ["198.51.100.77", "2001:db8:77::77"]
    for n, address in enumerate(addresses):
        headers = {"X-Forwarded-For": address}
        answer = await service.client.post(
            f"{SITE}/heartbeat", json=BEAT | {"sessionId": session(n)}, headers=headers
        )
        assert answer.headers["presence-status"] == "created"
    kept = everything_in(valkey, key_prefix)
    newcomers = valkey.client.hgetall(f"{key_prefix}:{{blog}}:newcomers")
    assert len(newcomers) == 2
    assert all(re.fullmatch("[0-9a-f]{16}", name) for name in newcomers)
    for part in ("198.51.100", "2001:db8", "127.0.0.1"):
        assert part not in kept


# Methods


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
async def test_other_methods_are_405_with_allow(make_service: MakeService, route: Any) -> None:
    service = await make_service()
    names = {"site": "blog", "session_id": S, "part": "live", "version": "0", "name": "stats.js"}
    path = route.path_format.format(**names, user_id="anna")
    allowed = route.methods or set()
    # A user may be called `status`.
    others = {"GET", "DELETE"} if route.path.endswith("/users/status") else set()
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "NONSENSE"):
        if method not in allowed | others:
            answer = await service.client.request(method, path)
            assert refusal(answer) == (405, None)
            assert set(answer.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    "path", ["/nothing", "/v1", "/v1/sites/", SITE, f"{SITE}/", f"{SITE}/stats/", f"{SITE}/nothing"]
)
async def test_what_is_not_there_is_404(make_service: MakeService, path: str) -> None:
    service = await make_service()
    for method in ("GET", "POST", "DELETE"):
        assert refusal(await service.client.request(method, path)) == (404, None)


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/livez", f"{SITE}/stats"])
async def test_head(make_service: MakeService, path: str) -> None:
    answer = await (await make_service()).client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")


# Sites: unknown, private, with origins


@pytest.fixture
def sites_file(tmp_path: Path) -> str:
    file = tmp_path / "sites.toml"
    file.write_text(
        '["blog"]\n["own"]\norigins = ["https://own.example"]\ntoken = "own-token"\n'
        '["closed"]\npublic = false\ntoken = "closed-token"\n'
    )
    return str(file)


READS = ("stats", "active", "history", "sources")


async def test_an_unknown_site_is_404(make_service: MakeService, sites_file: str) -> None:
    service = await make_service(SITES_FILE=sites_file, ADMIN_TOKEN="admin-token")
    for route in ROUTES:
        if "{site}" in route.path and route.path.startswith("/v1/"):
            path = route.path.format(site="unknown", session_id=S, user_id="anna", name="hall")
            for method in (route.methods or set()) - {"HEAD"}:
                answer = await service.client.request(method, path, headers=ADMIN, json=BEAT)
                assert refusal(answer) == (404, None)
    assert (await service.client.get(f"{SITE}/stats")).status_code == 200


async def test_private_sites(make_service: MakeService, sites_file: str) -> None:
    service = await make_service(SITES_FILE=sites_file, ADMIN_TOKEN="admin-token")
    assert (
        await service.client.post("/v1/sites/closed/heartbeat", json=BEAT)
    ).status_code == 204  # anybody may be there
    for token, status in [
        (None, 401),
        ("wrong", 403),
        ("own-token", 403),
        ("closed-token", 200),
        ("admin-token", 200),
    ]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        for read in READS:
            answer = await service.client.get(f"/v1/sites/closed/{read}", headers=headers)
            assert answer.status_code == status
            assert ("www-authenticate" in answer.headers) == (status == 401)


# Private sites beside unknown ones

HIDDEN_SITES = """
["blog"]
["closed"]
public = false
token = "closed-token"
origins = ["https://closed.example"]
"""
ASKED: list[tuple[str, str, Any]] = [
    *(("GET", url, None) for url in ("stats", "active", "active?path=/a", "history", "live")),
    *(("HEAD", url, None) for url in ("stats", "live", "badge.svg")),
    *(("GET", url, None) for url in ("badge.svg", "badge.svg?label=x", "live?feed=1", "nothing")),
    *(("GET", url, None) for url in ("stats?limit=0", "active?path=x", "history?minutes=x")),
    *(("GET", url, None) for url in ("sessions", f"sessions/{S}", "views", "views?format=csv")),
    *(("GET", url, None) for url in ("events", "events?format=ndjson", "events?limit=x")),
    ("HEAD", "events", None),
    *(("GET", url, None) for url in ("users", "users?path=/a", "users?path=x", "users/anna")),
    ("POST", "users/status", {"userIds": ["anna"]}),
    ("POST", "users/status", {}),
    ("DELETE", "users/anna", None),
    ("DELETE", f"sessions/{S}", None),
    ("DELETE", "stats", None),
    ("POST", "stats", {}),
    ("POST", "heartbeat", BEAT),
    ("POST", "heartbeat?counts=1", BEAT),
    ("POST", "heartbeat", {}),
    ("POST", "heartbeats", {"heartbeats": [BEAT]}),
    ("POST", "leave", {"sessionId": S}),
    ("POST", "views", {"sessionId": S, "path": "/"}),
    *(
        ("OPTIONS", url, None)
        for url in (
            "stats",
            "live",
            "badge.svg",
            "heartbeat",
            "heartbeats",
            "leave",
            "views",
            "events",
            "users",
            "users/anna",
            "users/status",
        )
    ),
    *(("GET", f"page{query}", None) for query in ("", "?embed", "?wall", "?embed&page=/a")),
    ("HEAD", "page", None),
]
ASKING: list[dict[str, str]] = [
    {},
    {"Authorization": "Bearer wrong"},
    {"Authorization": "Basic x"},
    {"Origin": "https://foreign.example"},
    {"Origin": "https://foreign.example", "Access-Control-Request-Method": "POST"},
    {"Origin": "https://foreign.example", "Authorization": "Bearer wrong"},
    {"Accept": "text/html"},
    {"If-None-Match": "*"},
    {"User-Agent": "Googlebot/2.1"},
]


@pytest.mark.fault("B25")
@pytest.mark.parametrize("admin_token", ["admin-token", ""])
async def test_a_private_site_is_not_to_be_told_from_an_unknown_one(
    make_service: MakeService, tmp_path: Path, admin_token: str
) -> None:
    file = tmp_path / "sites.toml"
    file.write_text(HIDDEN_SITES)
    service = await make_service(SITES_FILE=str(file), ADMIN_TOKEN=admin_token)

    async def answers(site: str) -> list[Any]:
        seen = []
        for method, url, body in ASKED:
            path = f"/v1/sites/{site}/{url}"
            if url.startswith("page"):
                path = f"/sites/{site}{url.removeprefix('page')}"
            for headers in ASKING:
                told = await service.client.request(method, path, headers=headers, json=body)
                own = {"x-request-id", "date", "etag", "content-length"}
                shown = {name: value for name, value in told.headers.items() if name not in own}
                seen.append((method, url, headers, told.status_code, shown,
                             told.text.replace(site, "…"), "etag" in told.headers))  # fmt: skip
        return seen

    for private, unknown in zip(await answers("closed"), await answers("absent"), strict=True):
        assert private == unknown
    assert "closed" not in (await service.client.get("/metrics")).text
    own = {"Origin": "https://closed.example"}
    answer = await service.client.post("/v1/sites/closed/heartbeat", json=BEAT, headers=own)
    assert answer.status_code == 204
    token = {"Authorization": "Bearer closed-token"}
    active = await service.client.get("/v1/sites/closed/active", headers=token)
    assert active.json()["activeVisitors"] == 1


@pytest.mark.fault("B25")
async def test_limits_tell_no_private_site_either(
    make_service: MakeService, tmp_path: Path
) -> None:
    file = tmp_path / "sites.toml"
    file.write_text(HIDDEN_SITES)

    async def statuses(site: str, endpoint: str) -> list[int]:
        service = await make_service(
            SITES_FILE=str(file), REQUESTS_PER_SECOND="1", KEY_PREFIX=f"{site}-{endpoint}"
        )
        method = "GET" if endpoint in READS else "POST"
        url = f"/v1/sites/{site}/{endpoint}"
        answers = [await service.client.request(method, url, json=BEAT) for _ in range(5)]
        return [answer.status_code for answer in answers]

    for endpoint in (*WRITES, *READS):
        seen = await statuses("closed", endpoint)
        assert seen == await statuses("absent", endpoint)
        assert seen[-1] == 429


# Origin -> status, Access-Control-Allow-Origin
@pytest.mark.parametrize(
    "origin, status, allowed",
    [
        ("https://own.example", 204, "https://own.example"),
        ("https://foreign.example", 403, None),
        ("https://own.example.foreign.example", 403, None),
        ("null", 403, None),
        (None, 403, None),
    ],
)
async def test_origins_are_checked_on_the_server(
    make_service: MakeService, sites_file: str, origin: str | None, status: int, allowed: str | None
) -> None:
    service = await make_service(SITES_FILE=sites_file)
    headers = {"Origin": origin} if origin else {}
    for endpoint, body in [
        ("heartbeat", BEAT),
        ("leave", {"sessionId": S}),
        ("views", {"sessionId": S, "path": "/z"}),
    ]:
        answer = await service.client.post(f"/v1/sites/own/{endpoint}", json=body, headers=headers)
        assert answer.status_code == status
        assert answer.headers.get("access-control-allow-origin") == allowed
        if status == 403:
            assert refusal(answer) == (403, None)
        else:
            assert "Origin" in answer.headers["vary"]
    # Numbers may be read by any server, and by pages of these origins only.
    answer = await service.client.get("/v1/sites/own/stats", headers=headers)
    assert answer.status_code == 200
    assert answer.json()["activeVisitors"] == (1 if status == 204 else 0)
    assert answer.headers.get("access-control-allow-origin") == allowed
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("endpoint", [*WRITES, *READS])
@pytest.mark.parametrize("site, status", [("My%20Blog", 422), ("unknown", 404)])
async def test_any_page_may_read_what_is_wrong_with_its_site(
    make_service: MakeService, sites_file: str, endpoint: str, site: str, status: int
) -> None:
    service = await make_service(SITES_FILE=sites_file)
    if status == 404 and endpoint not in ("heartbeat", "leave", "views"):
        status = 401  # as of a private one
    method = "POST" if endpoint in WRITES else "GET"
    answer = await service.client.request(
        method, f"/v1/sites/{site}/{endpoint}", headers={"Origin": "https://any.example"}
    )
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("endpoint", [*WRITES, *READS])
@pytest.mark.parametrize(
    "site, origin, allowed",
    [
        ("blog", "https://any.example", "*"),
        ("own", "https://own.example", "https://own.example"),
        ("own", "https://foreign.example", None),
        ("own", "null", None),
        ("unknown", "https://any.example", "*"),  # so that the 404 can be read
        ("My%20Blog", "https://any.example", "*"),
    ],
)
async def test_preflight(
    make_service: MakeService,
    sites_file: str,
    endpoint: str,
    site: str,
    origin: str,
    allowed: str | None,
) -> None:
    service = await make_service(SITES_FILE=sites_file)
    answer = await service.client.options(
        f"/v1/sites/{site}/{endpoint}",
        headers={"Origin": origin, "Access-Control-Request-Method": "POST"},
    )
    assert answer.headers.get("access-control-allow-origin") == allowed
    assert answer.status_code == (204 if allowed else 405)
    if allowed:
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert "Authorization" in answer.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/v1/sites", f"{SITE}/sessions", f"{SITE}/views", f"{SITE}/events", "/metrics"]
)
async def test_no_page_may_read_what_is_for_operators(make_service: MakeService, path: str) -> None:
    service = await make_service(ADMIN_TOKEN="admin-token")
    answer = await service.client.get(path, headers=ADMIN | {"Origin": "https://any.example"})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


# The numbers


async def test_stats(make_service: MakeService) -> None:
    service = await make_service()
    service.store.clock = Clock()
    empty = (await service.client.get(f"{SITE}/stats")).json()
    assert empty == {
        "activeVisitors": 0,
        "activeByPath": [],
        "totalPageViews": 0,
        "uniqueVisitors": 0,
        "uniqueVisitorsToday": 0,
        "trackingSince": None,
        "pageStats": [],
        "totalPaths": 0,
        "activeByCountry": [],
        "visitorLocations": [],
        "sessionTimeoutMs": 120_000,
        "sweepBacklog": 0,
        "asOf": NOW,
    }
    place = {"latitude": 50.94, "longitude": 6.96, "city": "Köln", "country": "de"}
    await beat(service, sessionId=session(1), currentPath="/b", pageType="article", **place)
    await beat(service, sessionId=session(2), currentPath="/b", **place)
    await beat(service, sessionId=session(3), currentPath="/c")
    await beat(service, sessionId=session(4), currentPath="/a")
    answer = await service.client.get(f"{SITE}/stats")
    assert answer.headers["content-type"] == "application/json"
    assert S not in answer.text
    assert "session-" not in answer.text
    assert answer.json() == empty | {
        "activeVisitors": 4,
        "activeByPath": [
            {"path": "/b", "count": 2},
            {"path": "/a", "count": 1},
            {"path": "/c", "count": 1},
        ],
        "totalPageViews": 4,
        "uniqueVisitors": 4,
        "uniqueVisitorsToday": 4,
        "trackingSince": NOW,
        "pageStats": [
            {"path": "/b", "views": 2, "pageType": "article"},
            {"path": "/a", "views": 1, "pageType": None},
            {"path": "/c", "views": 1, "pageType": None},
        ],
        "totalPaths": 3,
        "activeByCountry": [{"country": None, "count": 2}, {"country": "DE", "count": 2}],
        "visitorLocations": [
            {"latitude": 50.9, "longitude": 7.0, "city": "Köln", "country": "DE", "count": 2}
        ],
    }


async def test_lists_are_capped(make_service: MakeService) -> None:
    service = await make_service()
    batch = [{"sessionId": session(n), "currentPath": f"/{n:03d}"} for n in range(60)]
    batch.append({"sessionId": session(60), "currentPath": "/059"})
    await service.client.post(f"{SITE}/heartbeats", json={"heartbeats": batch})
    for query, length in [("", 50), ("?limit=1", 1), ("?limit=60", 60), ("?limit=1000", 60)]:
        stats = (await service.client.get(f"{SITE}/stats{query}")).json()
        paths = [row["path"] for row in stats["activeByPath"]]
        assert paths == ["/059", *(f"/{n:03d}" for n in range(59))][:length]
        assert len(stats["pageStats"]) == 50
        assert (stats["totalPaths"], stats["activeVisitors"]) == (60, 61)


async def test_etag(make_service: MakeService) -> None:
    service = await make_service()
    service.store.clock = clock = Clock()
    await beat(service)
    first = await service.client.get(f"{SITE}/stats")
    etag = first.headers["etag"]
    clock.advance(1000)  # only asOf has changed
    for known, status in [
        (etag, 304),
        (etag.removeprefix("W/"), 304),
        (f'"other", {etag}', 304),
        ("*", 304),
        ('"other"', 200),
        ("", 200),
        ("\xff", 200),
    ]:
        answer = await service.client.get(
            f"{SITE}/stats", headers=[(b"if-none-match", known.encode("latin-1"))]
        )
        assert answer.status_code == status
        assert answer.headers["etag"] == etag
        assert answer.headers["access-control-allow-origin"] == "*"
        assert bool(answer.content) == (status == 200)
    await beat(service, sessionId=session(1))
    answer = await service.client.get(f"{SITE}/stats", headers={"If-None-Match": etag})
    assert answer.status_code == 200
    assert answer.headers["etag"] != etag


async def test_active(make_service: MakeService) -> None:
    service = await make_service()
    service.store.clock = Clock()
    await beat(service, sessionId=session(1), currentPath="/a")
    await beat(service, sessionId=session(2), currentPath="/a")
    await beat(service, sessionId=session(3), currentPath="/b")
    for query, count in [("", 3), ("?path=/a", 2), ("?path=/a/%3Fx", 2), ("?path=/none", 0)]:
        answer = await service.client.get(f"{SITE}/active{query}")
        assert answer.json() == {"activeVisitors": count, "asOf": NOW}
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "query, resolution_ms, length",
    [
        ("", 60_000, 30),
        ("?minutes=1", 60_000, 1),
        ("?minutes=2880", 60_000, 2880),
        ("?hours=3", 3_600_000, 3),
        ("?hours=9600", 3_600_000, 9600),
    ],
)
async def test_history(
    make_service: MakeService, query: str, resolution_ms: int, length: int
) -> None:
    service = await make_service()
    service.store.clock = Clock()
    await beat(service, sessionId=session(1))
    await beat(service, sessionId=session(2))
    history = (await service.client.get(f"{SITE}/history{query}")).json()
    assert history["resolutionMs"] == resolution_ms
    last = NOW // resolution_ms * resolution_ms
    expected = [
        {"at": last - n * resolution_ms, "peakActive": 0, "views": 0} for n in range(length)
    ][::-1]
    expected[-1] |= {"peakActive": 2, "views": 2}
    assert history["points"] == expected


async def test_a_history_of_days_beside_what_was_before(make_service: MakeService) -> None:
    service = await make_service()
    service.store.clock = clock = Clock(NOW // 86_400_000 * 86_400_000)
    today = clock.now_ms
    for visitors in (1, 2, 0, 3):
        for n in range(visitors):
            await beat(service, sessionId=session(n))
        clock.advance(86_400_000)
    clock.advance(-86_400_000)
    history = (await service.client.get(f"{SITE}/history?days=5&compare=day")).json()
    assert today is not None
    assert (history["resolutionMs"], history["trackingSince"]) == (86_400_000, today)
    numbers = [(None,) * 3, (1, 1, 1), (2, 2, 2), (0, 0, 0), (3, 3, 3)]
    names = ("peakActive", "views", "uniqueVisitors")
    points = [dict(zip(names, values, strict=True)) for values in numbers]
    previous = [None, None, *points[1:3], None]
    assert history["points"] == [
        {"at": today + n * 86_400_000, **point, "previous": before}
        for n, (point, before) in enumerate(zip(points, previous, strict=True), -1)
    ]


async def test_history_has_the_empty_minutes(make_service: MakeService) -> None:
    service = await make_service()
    service.store.clock = clock = Clock()
    await beat(service)
    clock.advance(10 * 60_000)
    points = (await service.client.get(f"{SITE}/history?minutes=12")).json()["points"]
    assert [point["views"] for point in points] == [0, 1, *[0] * 10]
    assert points[1]["peakActive"] == 1
    assert points[-1]["peakActive"] == 0


# For operators

OPERATOR_ROUTES = [
    ("GET", "/v1/sites"),
    ("GET", f"{SITE}/sessions"),
    ("GET", f"{SITE}/sessions/{S}"),
    ("DELETE", f"{SITE}/sessions/{S}"),
    ("GET", f"{SITE}/views"),
    ("GET", f"{SITE}/views?format=csv"),
    ("GET", f"{SITE}/events"),
    ("GET", f"{SITE}/events?format=ndjson"),
]


@pytest.mark.parametrize("method, path", OPERATOR_ROUTES)
async def test_operator_endpoints_need_the_token(
    make_service: MakeService, sites_file: str, method: str, path: str
) -> None:
    service = await make_service(ADMIN_TOKEN="admin-token", SITES_FILE=sites_file)
    for headers, status in [
        ({}, 401),
        ({"Authorization": "Basic YWRtaW4tdG9rZW4="}, 401),
        ({"Authorization": "admin-token"}, 401),
        ({"Authorization": "Bearer wrong"}, 403),
        ({"Authorization": "Bearer own-token"}, 403),
    ]:
        answer = await service.client.request(method, path, headers=headers)
        assert refusal(answer) == (status, None)
        assert "token" not in answer.headers.get("www-authenticate", "")
    in_url = await service.client.request(method, path, params={"token": "admin-token"})
    assert in_url.status_code == 401


@pytest.mark.parametrize("method, path", OPERATOR_ROUTES)
async def test_operator_endpoints_are_off_without_a_token(
    make_service: MakeService, method: str, path: str
) -> None:
    service = await make_service("memory://")
    assert refusal(await service.client.request(method, path)) == (403, None)
    guess = {"Authorization": "Bearer "}
    assert (await service.client.request(method, path, headers=guess)).status_code == 403


@pytest.mark.fault("B21")
@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "evil.example"])
async def test_under_embedded_only_the_token_lets_in(
    make_service: MakeService, tmp_path: Path, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.redis.circuit_breaker.PAUSE_S", 0.0)  # as each asks in vain
    # Nobody has started its Valkey: who is let in is told so.
    token = make_token(tmp_path / "admin-token")
    service = await make_service(f"embedded://{tmp_path}")
    for method, path in OPERATOR_ROUTES:
        for headers, status in (({}, 401), ({"Authorization": f"Bearer {token}"}, 503)):
            answer = await service.client.request(method, f"http://{host}{path}", headers=headers)
            assert answer.status_code == status
            assert ("admin-token" in answer.text) == (status == 401)


async def test_sites(make_service: MakeService, sites_file: str) -> None:
    service = await make_service(ADMIN_TOKEN="admin-token")
    await beat(service)
    await service.client.post("/v1/sites/other/heartbeat", json=BEAT)
    await service.client.post("/v1/sites/other/heartbeat", json=BEAT | {"sessionId": session(1)})
    await service.store.claim([], 1_000, 0)  # a new site is noted behind its first heartbeat
    listed = (await service.client.get("/v1/sites", headers=ADMIN)).json()
    assert listed["sites"] == [
        {"site": "blog", "activeVisitors": 1},
        {"site": "other", "activeVisitors": 2},
    ]
    configured = await make_service(ADMIN_TOKEN="admin-token", SITES_FILE=sites_file)
    names = [
        row["site"]
        for row in (await configured.client.get("/v1/sites", headers=ADMIN)).json()["sites"]
    ]
    assert names == ["blog", "closed", "own"]
    for cursor in ("", "A", "a b", "{x}"):
        refused = await service.client.get(f"/v1/sites?cursor={cursor}", headers=ADMIN)
        assert refusal(refused) == (422, "cursor")


@pytest.mark.parametrize("is_configured", [False, True])
async def test_sites_page_by_page(
    make_service: MakeService, tmp_path: Path, is_configured: bool
) -> None:
    names = [f"site-{n:02d}" for n in range(25)]
    settings = {"ADMIN_TOKEN": "admin-token"}
    if is_configured:
        path = tmp_path / "many.toml"
        path.write_text("".join(f'["{name}"]\n' for name in names))
        settings["SITES_FILE"] = str(path)
    service = await make_service(**settings)
    for name in names:
        await service.client.post(f"/v1/sites/{name}/heartbeat", json=BEAT)
    for limit, pages in [(10, 3), (25, 1), (1, 25), (1000, 1)]:
        listed: list[str] = []
        cursor, asked = "", 0
        while cursor is not None:
            url = f"/v1/sites?limit={limit}" + (f"&cursor={cursor}" if cursor else "")
            page = (await service.client.get(url, headers=ADMIN)).json()
            assert all(row["activeVisitors"] == 1 for row in page["sites"])
            listed += [row["site"] for row in page["sites"]]
            cursor, asked = page["nextCursor"], asked + 1
        assert (listed, asked) == (names, pages)


@pytest.mark.parametrize("backend", ["memory", "valkey"])
async def test_sessions_page_by_page(
    make_service: MakeService, request: pytest.FixtureRequest, backend: str
) -> None:
    url = "memory://" if backend == "memory" else request.getfixturevalue("valkey").url
    service = await make_service(url, ADMIN_TOKEN="admin-token")
    batch = [{"sessionId": session(n), "currentPath": f"/{n % 2}"} for n in range(25)]
    await service.client.post(f"{SITE}/heartbeats", json={"heartbeats": batch}, headers=ADMIN)

    async def all_pages(query: str) -> list[list[str]]:
        pages: list[list[str]] = []
        cursor: str | None = ""
        while cursor is not None:
            answer = await service.client.get(
                f"{SITE}/sessions?{query}&cursor={cursor}", headers=ADMIN
            )
            page = answer.json()
            pages.append([row["sessionId"] for row in page["sessions"]])
            cursor = page["nextCursor"]
        return pages

    pages = await all_pages("limit=10")
    found = [name for page in pages for name in page]
    assert sorted(found) == [session(n) for n in range(25)]
    assert max(len(page) for page in pages) == 10
    found = [name for page in await all_pages("limit=5&path=/1") for name in page]
    assert sorted(found) == [session(n) for n in range(1, 25, 2)]
    assert [name for page in await all_pages("path=/none") for name in page] == []


async def test_one_session(make_service: MakeService) -> None:
    service = await make_service(ADMIN_TOKEN="admin-token")
    service.store.clock = Clock()
    await beat(service, currentPath="/x", pageType="article", country="DE", city="Köln")
    expected = {
        "sessionId": S,
        "currentPath": "/x",
        "lastSeen": NOW,
        "since": NOW,
        "expiresAt": NOW + 120_000,
        "pageType": "article",
        "country": "DE",
        "city": "Köln",
    }
    url = f"{SITE}/sessions/{S}"
    assert (await service.client.get(url, headers=ADMIN)).json() == expected
    listed = (await service.client.get(f"{SITE}/sessions", headers=ADMIN)).json()
    assert listed == {"sessions": [expected], "nextCursor": None, "asOf": NOW}
    other = f"{SITE}/sessions/{session(1)}"
    assert refusal(await service.client.get(other, headers=ADMIN)) == (404, None)
    assert refusal(await service.client.delete(other, headers=ADMIN)) == (404, None)
    for unclear in ("true", "yes", "", "2"):  # nothing is done that may not be what was meant
        refused = await service.client.delete(url, params={"erase": unclear}, headers=ADMIN)
        assert refusal(refused) == (422, "erase")
    ended = await service.client.delete(url, params={"erase": "0"}, headers=ADMIN)
    assert (ended.status_code, ended.content) == (204, b"")
    assert refusal(await service.client.get(url, headers=ADMIN)) == (404, None)
    assert refusal(await service.client.delete(url, headers=ADMIN)) == (404, None)
    assert (await service.client.get(f"{SITE}/active")).json()["activeVisitors"] == 0
    assert await beat(service, currentPath="/x") == "created"
    names = ("sessionsEnded", "eventsErased", "viewsErased")
    for numbers in ((1, 4, 1), (0, 0, 0)):  # it joined, left and joined, and left for this
        erased = await service.client.delete(url, params={"erase": "1"}, headers=ADMIN)
        assert (erased.status_code, erased.json()) == (200, dict(zip(names, numbers, strict=True)))
    stats = (await service.client.get(f"{SITE}/stats")).json()
    assert (stats["activeVisitors"], stats["totalPageViews"]) == (0, 1)
    views = (await service.client.get(f"{SITE}/views", headers=ADMIN)).json()
    assert views["views"] == []


async def test_the_log_of_views(make_service: MakeService) -> None:
    service = await make_service(ADMIN_TOKEN="admin-token")
    service.store.clock = Clock()
    await beat(service, pageType="article", referrer="https://example.org/x", country="DE")
    for n in range(4):
        await beat(service, sessionId=session(n), currentPath=f"/{n}")
    url = f"{SITE}/views"
    page = (await service.client.get(f"{url}?limit=2", headers=ADMIN)).json()
    first = page["views"][0]
    assert first == {
        "id": first["id"],
        "at": NOW,
        "sessionId": S,
        "path": "/a",
        "pageType": "article",
        "referrer": "example.org",
        "country": "DE",
    }
    paths = [view["path"] for view in page["views"]]
    while page["views"]:
        page = (
            await service.client.get(f"{url}?limit=2&after={page['next']}", headers=ADMIN)
        ).json()
        paths += [view["path"] for view in page["views"]]
    assert paths == ["/a", "/0", "/1", "/2", "/3"]
    rest = (await service.client.get(f"{url}?after={first['id']}", headers=ADMIN)).json()
    assert [view["path"] for view in rest["views"]] == paths[1:]


async def test_views_as_csv_and_ndjson(make_service: MakeService) -> None:
    service = await make_service(ADMIN_TOKEN="admin-token")
    views = [
        {"sessionId": "-" * 16, "path": '/a,b"c', "pageType": "-1", "referrer": "-host.example"},
        {"sessionId": "-1+cmd-calc-00000".replace("+", "_"), "path": "/=1+1"},
        {"sessionId": S, "path": "/<script>alert(1)</script>"},
    ]
    for view in views:
        await service.client.post(f"{SITE}/views", json=view)
    # limit=1: all of it comes, however small the pages it is read in
    answer = await service.client.get(f"{SITE}/views?format=csv&limit=1", headers=ADMIN)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="blog-views.csv"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0] == ["id", "at", "sessionId", "path", "pageType", "referrer", "country"]
    assert [row[3] for row in rows[1:]] == [view["path"] for view in views]
    assert rows[1][2] == "'" + "-" * 16
    assert rows[1][4:6] == ["'-1", "'-host.example"]
    for row in rows:
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)
    answer = await service.client.get(f"{SITE}/views?format=ndjson&limit=2", headers=ADMIN)
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [(line["sessionId"], line["path"]) for line in lines] == [
        (view["sessionId"], view["path"]) for view in views
    ]
    empty = await service.client.get("/v1/sites/empty/views?format=csv", headers=ADMIN)
    assert list(csv.reader(io.StringIO(empty.text))) == [rows[0]]


# token -> status of a public site with a token, one without, a private and an unknown one
@pytest.mark.parametrize("admin_token", ["admin-token", ""])
@pytest.mark.parametrize(
    "token, statuses",
    [
        (None, (401, None, 401, 401)),
        ("wrong", (403, None, 403, 403)),
        ("own-token", (200, None, 403, 403)),
        ("closed-token", (403, None, 200, 403)),
        ("admin-token", (200, 200, 200, 404)),
    ],
)
async def test_events_are_for_the_operator_and_the_site(
    make_service: MakeService,
    sites_file: str,
    admin_token: str,
    token: str | None,
    statuses: tuple[int | None, ...],
) -> None:
    service = await make_service(SITES_FILE=sites_file, ADMIN_TOKEN=admin_token)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    without = (401 if token is None else 403) if admin_token else 403
    for site, status in zip(("own", "blog", "closed", "unknown"), statuses, strict=True):
        expected = without if status is None else status
        if token == "admin-token" and not admin_token:
            expected = 403
        for query in ("", "?format=ndjson"):
            answer = await service.client.get(f"/v1/sites/{site}/events{query}", headers=headers)
            assert answer.status_code == expected, (site, answer.text)
            assert ("www-authenticate" in answer.headers) == (expected == 401)


async def test_wrong_tokens_for_events_are_limited(make_service: MakeService) -> None:
    service = await make_service(ADMIN_TOKEN="admin-token", REQUESTS_PER_SECOND="2")
    wrong = {"Authorization": "Bearer wrong"}
    answers = [await service.client.get(f"{SITE}/events", headers=wrong) for _ in range(9)]
    assert {answer.status_code for answer in answers} == {403, 429}


async def test_the_log_of_events(make_service: MakeService) -> None:
    service = await make_service(ADMIN_TOKEN="admin-token")
    service.store.clock = Clock()
    await beat(service, country="DE")
    await beat(service, currentPath="/b")
    ended = await service.client.delete(f"{SITE}/sessions/{S}", headers=ADMIN)
    assert ended.status_code == 204
    answer = await service.client.get(f"{SITE}/events", headers=ADMIN)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    page = answer.json()
    ids = [event.pop("id") for event in page["events"]]
    same = {"at": NOW, "sessionId": S, "country": "DE"}
    assert page == {
        "events": [
            {"type": "joined", "path": "/a", **same},
            {"type": "moved", "path": "/b", "from": "/a", **same},
            {"type": "left", "path": "/b", "reason": "ended", **same},
        ],
        "next": ids[2],
        "more": False,
    }
    # One by one, and from any of them on.
    seen, after, is_more = [], "", True
    while is_more:
        url = f"{SITE}/events?limit=1&after={after}"
        page = (await service.client.get(url, headers=ADMIN)).json()
        seen += [event["id"] for event in page["events"]]
        after, is_more = page["next"], page["more"]
    assert seen == ids
    rest = (await service.client.get(f"{SITE}/events?after={ids[0]}", headers=ADMIN)).json()
    assert [event["id"] for event in rest["events"]] == ids[1:]
    none = (await service.client.get("/v1/sites/empty/events", headers=ADMIN)).json()
    assert none.pop("next").startswith("0-")  # the moment at which there was nothing
    assert none == {"events": [], "more": False}


async def test_events_as_ndjson(make_service: MakeService) -> None:
    service = await make_service(ADMIN_TOKEN="admin-token", EVENTS_MAXLEN="100")
    for n in range(450):
        await beat(service, currentPath=f"/{n}")
    url = f"{SITE}/events?format=ndjson"
    # limit=40: all of it comes, however small the pages it is read in
    answer = await service.client.get(f"{url}&limit=40", headers=ADMIN)
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["path"] for line in lines][-3:] == ["/447", "/448", "/449"]
    assert 100 <= len(lines) < 450
    # Where there is a gap is said, and where to go on after each page and at the end.
    assert [n for n, line in enumerate(lines) if "gapBefore" in line] == [0]
    marked = [n for n, line in enumerate(lines) if "next" in line]
    assert marked == [*range(39, len(lines) - 1, 40), len(lines) - 1]
    for n in marked:
        rest = await service.client.get(f"{url}&after={lines[n]['next']}", headers=ADMIN)
        told = [json.loads(line)["id"] for line in rest.text.splitlines()]
        assert told == [line["id"] for line in lines[n + 1 :]]
    assert (await service.client.get(f"{SITE}/events?limit=9", headers=ADMIN)).json()[
        "truncatedBefore"
    ] == lines[0]["id"]
    none = await service.client.get("/v1/sites/empty/events?format=ndjson", headers=ADMIN)
    assert (none.status_code, none.text) == (200, "")


# The service itself


@pytest.mark.parametrize(
    "url, livez, readyz", [("memory://", 200, 200), ("valkey", 200, 200), (DEAD, 200, 503)]
)
async def test_probes(
    make_service: MakeService, request: pytest.FixtureRequest, url: str, livez: int, readyz: int
) -> None:
    if url == "valkey":
        url = request.getfixturevalue("valkey").url
    service = await make_service(url)
    started = time.monotonic()
    assert (await service.client.get("/livez")).status_code == livez
    answer = await service.client.get("/readyz")
    assert answer.status_code == readyz
    assert time.monotonic() - started < 2
    if readyz == 200:
        assert answer.json() == {"status": "ready"}
    else:
        assert refusal(answer) == (503, None)


async def test_a_read_only_redis_is_not_ready(make_service: MakeService, valkey: Server) -> None:
    service = await make_service(valkey.url)
    valkey.client.config_set("min-replicas-to-write", 1)
    try:
        answer = await service.client.get("/readyz")
        assert refusal(answer) == (503, None)
        assert (await service.client.get("/livez")).status_code == 200
    finally:
        valkey.client.config_set("min-replicas-to-write", 0)
    assert (await service.client.get("/readyz")).status_code == 200


async def test_metrics_with_and_without_a_token(make_service: MakeService) -> None:
    is_open = await make_service()
    assert (await is_open.client.get("/metrics")).status_code == 200
    service = await make_service(METRICS_TOKEN="metrics-token", ADMIN_TOKEN="admin-token")
    for token, status in [
        (None, 401),
        ("wrong", 403),
        ("admin-token", 403),
        ("metrics-token", 200),
    ]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = await service.client.get("/metrics", headers=headers)
        assert answer.status_code == status
        if status != 200:
            assert refusal(answer) == (status, None)


async def test_metrics(make_service: MakeService, sites_file: str) -> None:
    service = await make_service(SITES_FILE=sites_file)
    await beat(service)
    await beat(service)
    await beat(service, currentPath="/b")
    await service.client.post(f"{SITE}/heartbeat", json=BEAT, headers={"User-Agent": "x-bot"})
    text = (await service.client.get("/metrics")).text
    for line in [
        'presence_heartbeats_total{outcome="created"} 1.0',
        'presence_heartbeats_total{outcome="duplicate"} 1.0',
        'presence_heartbeats_total{outcome="moved"} 1.0',
        'presence_dropped_total{reason="bot"} 1.0',
        "presence_batch_size_count 3.0",
        "presence_script_seconds_count 3.0",
        'presence_active_visitors{site="blog"} 1.0',
        'presence_active_visitors{site="own"} 0.0',
        "presence_sweep_backlog 0.0",
    ]:
        assert line in text
    shown = dict(re.findall(r'presence_site_redis_seconds_total\{site="(\w+)"\} (\S+)', text))
    took = OUTCOME_S["created"] + OUTCOME_S["duplicate"] + OUTCOME_S["moved"] + 3 * SITE_PART_S
    assert {site: float(seconds) for site, seconds in shown.items()} == {
        "blog": pytest.approx(took)
    }


@pytest.mark.parametrize(
    "settings, named",
    [({}, {"blog"}), ({"METRICS_TOKEN": "metrics-token"}, {"blog", "closed"})],
    ids=["open", "with a token"],
)
async def test_metrics_name_no_private_site_to_everybody(
    make_service: MakeService, sites_file: str, settings: dict[str, str], named: set[str]
) -> None:
    service = await make_service(SITES_FILE=sites_file, **settings)
    for site in ("blog", "closed"):
        await service.client.post(f"/v1/sites/{site}/heartbeat", json=BEAT)
    headers = {"Authorization": "Bearer metrics-token"}
    text = (await service.client.get("/metrics", headers=headers)).text
    costs = set(re.findall(r'presence_site_redis_seconds_total\{site="(\w+)"\}', text))
    assert costs == (named if "closed" in named else named | {"__other__"})
    active = set(re.findall(r'presence_active_visitors\{site="(\w+)"\}', text))
    assert active == named | {"own"}


async def test_labels_are_route_templates_only(make_service: MakeService) -> None:
    service = await make_service()
    for n in range(20):
        for method in ("GET", "POST", f"EVIL{n}"):
            for path in (f"/evil-{n}", f"/v1/sites/evil-{n}/stats", f"/v1/sites/evil-{n}/evil-{n}"):
                await service.client.request(method, path, headers={"User-Agent": f"evil{n}"})
        await service.client.post(
            f"/v1/sites/evil-{n}/heartbeat", json=BEAT | {"currentPath": "/evil"}
        )
        await service.client.post(f"/v1/sites/evil-{n}/heartbeat", content=b"evil")
    text = (await service.client.get("/metrics")).text
    assert "evil" not in text.lower()
    templates = {route.path for route in ROUTES} | {"none"}
    assert set(re.findall(r'route="([^"]*)"', text)) <= templates
    assert set(re.findall(r'method="([^"]*)"', text)) <= {"GET", "POST", "other"}


async def test_metrics_are_there_while_redis_is_dead(
    make_service: MakeService, sites_file: str
) -> None:
    service = await make_service(DEAD, SITES_FILE=sites_file)
    assert (await service.client.post(f"{SITE}/heartbeat", json=BEAT)).status_code == 503
    answer = await service.client.get("/metrics")
    assert answer.status_code == 200
    assert 'presence_redis_errors_total{kind="connection"}' in answer.text


# Limits


def from_address(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


async def test_requests_per_second(make_service: MakeService) -> None:
    service = await make_service(REQUESTS_PER_SECOND="1", TRUSTED_PROXIES="127.0.0.0/8")

    async def statuses(path: str, address: str, times: int) -> list[int]:
        answers = [
            await service.client.get(f"{SITE}/{path}", headers=from_address(address))
            for _ in range(times)
        ]
        for answer in answers:
            if answer.status_code == 429:
                assert refusal(answer) == (429, None)
                assert int(answer.headers["retry-after"]) >= 1
        return [answer.status_code for answer in answers]

    assert await statuses("active", "192.0.2.1", 4) == [200, 200, 429, 429]
    assert await statuses("stats", "192.0.2.1", 1) == [429]
    answer = await service.client.post(
        f"{SITE}/heartbeat", json=BEAT, headers=from_address("192.0.2.1")
    )
    assert refusal(answer) == (429, None)
    assert answer.headers["access-control-allow-origin"] == "*"
    # Others are not affected; IPv6 counts by /64.
    assert await statuses("active", "192.0.2.2", 2) == [200, 200]
    assert await statuses("active", "2001:db8::1", 2) == [200, 200]
    assert await statuses("active", "2001:db8::2:3:4:5", 1) == [429]
    assert await statuses("active", "2001:db8:0:1::1", 1) == [200]
    # The service's own endpoints are never limited.
    assert (
        await service.client.get("/livez", headers=from_address("192.0.2.1"))
    ).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"{SITE}/heartbeats"),
        ("GET", f"{SITE}/sessions"),
        ("GET", "/v1/sites"),
        ("GET", "/metrics"),
    ],
)
async def test_who_guesses_tokens_is_limited(
    make_service: MakeService, method: str, path: str
) -> None:
    service = await make_service(
        REQUESTS_PER_SECOND="1",
        ADMIN_TOKEN="operator",
        METRICS_TOKEN="operator",
        TRUSTED_PROXIES="127.0.0.0/8",
    )

    async def statuses(token: str, times: int, address: str = "192.0.2.1") -> list[int]:
        headers = {"Authorization": f"Bearer {token}"} | from_address(address)
        answers = [
            await service.client.request(method, path, headers=headers) for _ in range(times)
        ]
        return [answer.status_code for answer in answers]

    assert await statuses("a guess", 4) == [403, 403, 429, 429]
    # The right one is not even compared, or it could be guessed at any speed.
    assert await statuses("operator", 1) == [429]
    # Elsewhere whoever knows it is let in, and is not counted.
    assert {403, 429}.isdisjoint(await statuses("operator", 5, "192.0.2.2"))


async def test_a_forged_address_does_not_get_around_the_limit(make_service: MakeService) -> None:
    service = await make_service(REQUESTS_PER_SECOND="1")
    answers = [
        await service.client.get(f"{SITE}/active", headers=from_address(f"192.0.2.{n}"))
        for n in range(4)
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]


async def test_new_sessions_per_minute(make_service: MakeService) -> None:
    service = await make_service(NEW_SESSIONS_PER_MINUTE="3", TRUSTED_PROXIES="127.0.0.0/8")
    service.store.clock = Clock()

    async def opens(n: int, address: str) -> int:
        answer = await service.client.post(
            f"{SITE}/heartbeat",
            json=BEAT | {"sessionId": session(n)},
            headers=from_address(address),
        )
        if answer.status_code == 429:
            assert refusal(answer) == (429, None)
            assert 1 <= int(answer.headers["retry-after"]) <= 60
        code: int = answer.status_code
        return code

    assert [await opens(n, "192.0.2.1") for n in range(5)] == [204, 204, 204, 429, 429]
    assert await opens(0, "192.0.2.1") == 204  # who is here already is not stopped
    assert await opens(10, "192.0.2.2") == 204
    for n in range(3):
        assert await opens(20 + n, f"2001:db8::{n + 1}") == 204
    assert await opens(23, "2001:db8::ffff") == 429
    assert await opens(24, "2001:db8:0:1::1") == 204
    active = (await service.client.get(f"{SITE}/active")).json()["activeVisitors"]
    assert active == 8


async def test_views_of_new_sessions_are_limited_too(make_service: MakeService) -> None:
    service = await make_service(NEW_SESSIONS_PER_MINUTE="2")
    answers = [
        await service.client.post(f"{SITE}/views", json={"sessionId": session(n), "path": "/"})
        for n in range(3)
    ]
    assert [answer.status_code for answer in answers] == [204, 204, 429]
    assert refusal(answers[2]) == (429, None)
    assert (await service.client.get(f"{SITE}/stats")).json()["totalPageViews"] == 2


@pytest.mark.fault("B22")
@pytest.mark.parametrize("given, written", [({}, 10), (ADMIN, 30)])
async def test_each_heartbeat_of_a_batch_counts_unless_a_token_is_shown(
    make_service: MakeService, given: dict[str, str], written: int
) -> None:
    token = {"ADMIN_TOKEN": "admin-token"} if given else {}
    service = await make_service(REQUESTS_PER_SECOND="5", **token)
    batch = {"heartbeats": [{"sessionId": session(n), "currentPath": "/"} for n in range(30)]}
    answer = await service.client.post(f"{SITE}/heartbeats", json=batch, headers=given)
    results = answer.json()["results"]
    assert len(results) - results.count("limited") == written
    if not given:
        assert "more heartbeats than it may" in answer.json()["limited"]["detail"]
        assert answer.headers["retry-after"] == "2"


@pytest.mark.fault("B31")
async def test_a_batch_with_the_token_is_not_limited(make_service: MakeService) -> None:
    batch = {"heartbeats": [{"sessionId": session(n), "currentPath": "/"} for n in range(5)]}
    limits = {"NEW_SESSIONS_PER_MINUTE": "2", "REQUESTS_PER_SECOND": "1"}
    service = await make_service(ADMIN_TOKEN="admin-token", **limits)
    for _ in range(5):
        answer = await service.client.post(f"{SITE}/heartbeats", json=batch, headers=ADMIN)
        assert answer.status_code == 200
    assert "limited" not in answer.json()["results"]
    assert refusal(await service.client.post(f"{SITE}/heartbeats", json=batch)) == (401, None)
    other = await make_service(KEY_PREFIX="other", NEW_SESSIONS_PER_MINUTE="2")
    answer = await other.client.post(f"{SITE}/heartbeats", json=batch)
    assert answer.json()["results"] == ["created", "created", "limited", "limited", "limited"]
    assert answer.json()["limited"]["retryAfterMs"] == 1000 * int(answer.headers["retry-after"])
    assert "too many sessions" in answer.json()["limited"]["detail"]


# A dead Redis

NEEDS_REDIS: list[tuple[str, str, Any]] = [
    ("POST", f"{SITE}/heartbeat", BEAT),
    ("POST", f"{SITE}/heartbeat?counts=1", BEAT),
    ("POST", f"{SITE}/heartbeats", {"heartbeats": [BEAT]}),
    ("POST", f"{SITE}/leave", {"sessionId": S}),
    ("POST", f"{SITE}/views", {"sessionId": S, "path": "/"}),
    ("GET", f"{SITE}/stats", None),
    ("GET", f"{SITE}/active", None),
    ("GET", f"{SITE}/history", None),
    ("GET", "/v1/sites", None),
    ("GET", f"{SITE}/sessions", None),
    ("GET", f"{SITE}/sessions/{S}", None),
    ("DELETE", f"{SITE}/sessions/{S}", None),
    ("GET", f"{SITE}/views", None),
    ("GET", f"{SITE}/views?format=csv", None),
    ("GET", f"{SITE}/events", None),
    ("GET", f"{SITE}/events?format=ndjson", None),
    ("GET", "/readyz", None),
]


async def test_clients_that_fail_together_do_not_come_back_together(
    make_service: MakeService,
) -> None:
    service = await make_service("redis://127.0.0.1:1")
    waits = set()
    for _ in range(40):
        answer = await service.client.post(f"{SITE}/heartbeat", json=BEAT)
        assert answer.status_code == 503
        waits.add(int(answer.headers["retry-after"]))
    assert len(waits) > 5, "spread over the interval"
    assert min(waits) >= 1
    assert max(waits) <= 30


@pytest.mark.parametrize("method, path, body", NEEDS_REDIS)
async def test_a_dead_redis_is_503(
    make_service: MakeService, method: str, path: str, body: Any
) -> None:
    service = await make_service(
        "redis://user:s3cret@127.0.0.1:1", ADMIN_TOKEN="admin-token", SHARDS="2"
    )
    started = time.monotonic()
    answer = await service.client.request(method, path, json=body, headers=ADMIN)
    assert time.monotonic() - started < 2
    assert refusal(answer) == (503, None)
    assert int(answer.headers["retry-after"]) >= 1
    assert "s3cret" not in answer.text
    assert "127.0.0.1" not in answer.text


async def test_a_frozen_redis_is_503_in_time_and_back_by_itself(make_service: MakeService) -> None:
    with Server("valkey") as server:
        service = await make_service(server.url, ADMIN_TOKEN="admin-token")
        assert await beat(service) == "created"
        server.freeze()
        started = time.monotonic()
        answers = await asyncio.gather(
            *(
                service.client.request(method, path, json=body, headers=ADMIN)
                for method, path, body in NEEDS_REDIS
            )
        )
        seconds = time.monotonic() - started
        server.thaw()
        assert seconds < 2
        assert {answer.status_code for answer in answers} == {503}
        assert (await service.client.get(f"{SITE}/active")).status_code == 200


# Errors of ours


@pytest.mark.parametrize("path", [f"{SITE}/heartbeat", f"{SITE}/leave"])
async def test_an_error_of_ours_is_a_problem_without_details(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    service = await make_service()

    async def fail(*args: Any) -> str:
        raise RuntimeError("s3cret")

    monkeypatch.setattr(service.store, "heartbeat", fail)
    monkeypatch.setattr(service.store, "leave", fail)
    transport = httpx.ASGITransport(service.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        with structlog.testing.capture_logs() as logged:
            answer = await client.post(path, json=BEAT)
    assert refusal(answer) == (500, None)
    assert "s3cret" not in answer.text
    assert [entry["event"] for entry in logged] == ["unexpected_error"]
