"""Users over HTTP on one server and on a cluster, sites whole and split: the same steps get the
same answers, from the real service as a process of its own."""

import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.user_tokens import User, mint
from service.store.paging import write_user_cursor
from service.store.tags import shard_of
from tests import invariants
from tests.conftest import now_of, store_factory, url_of
from tests.faults.copies import copies
from tests.store.test_erase import everything

SECRET = "a secret of at least thirty-two bytes"
SITES = f"""
["team"]
token = "team-token"
user_secrets = ["{SECRET}"]
"""
SITE = "/v1/sites/team"
# Of three shards each has one of these, and Anna's are in two.
LAPTOP, PHONE, BOBS, STRANGERS = (
    "anna-laptop-0001", "anna-phone-00003", "bobs-only-tab-01", "nobody-knows-who",
)  # fmt: skip
ANNA, BOB = "anna.ek", "bob"
NAMES = {ANNA: "Anna Ek", BOB: None}
SEES = ("/docs/*",)  # of Bob's token: not the whole site
MOMENTS = {"since", "lastSeen", "asOf", "trackingSince"}
THEN = "a moment"


def token_of(user: str) -> str:
    who = User(user, NAMES[user] or "", "", SEES)
    return mint(SECRET, "team", who, expires=time.time() + 3600)


def row(user: str, sessions: int, *paths: str, **more: Any) -> dict[str, Any]:
    """A user who is here, as all that tell of one do."""
    return {
        "userId": user, "name": NAMES[user], "avatar": None, "since": THEN, "lastSeen": THEN,
        "sessions": sessions, "paths": list(paths),
    } | more  # fmt: skip


def page(*users: dict[str, Any], total: int, cursor: str | None = None) -> dict[str, Any]:
    return {"users": list(users), "total": total, "nextCursor": cursor, "asOf": THEN}


def status(user: str, online: bool, seen: str | None) -> dict[str, Any]:
    return {"userId": user, "online": online, "lastSeen": seen}


def stats(active: int, users: int, views: int, **pages: int) -> dict[str, Any]:
    """What is expected of /stats, as far as it is about who is here."""
    by_path = [{"path": f"/docs/{name}", "count": count} for name, count in pages.items()]
    return {
        "activeVisitors": active, "activeUsers": users, "activeByPath": by_path,
        "totalPageViews": views, "uniqueVisitors": 4, "asOf": THEN,
    }  # fmt: skip


def event(kind: str, user: str, *where: Any, total: int) -> dict[str, Any]:
    """What a stream tells of a user; `where`: sessions, and the pages."""
    if kind == "offline":
        return {"event": kind, "userId": user, "lastSeen": THEN, "asOf": THEN, "totalUsers": total}
    return {"event": kind, **row(user, *where, asOf=THEN, totalUsers=total)}


def begins(*users: dict[str, Any], total: int) -> dict[str, Any]:
    """A snapshot; the numbers of the site are left out."""
    return {"event": "snapshot", "users": list(users), "totalUsers": total}


@dataclass
class Step:
    """A request, all of its answer but the moments in it, and what the streams tell then: one of
    the site, with its token, and one of /docs/y, with Bob's."""

    method: str
    path: str
    body: Any = None
    status: int = 200
    told: Any = None
    site_events: list[dict[str, Any]] = field(default_factory=list)
    page_events: list[dict[str, Any]] = field(default_factory=list)


def beat(
    session: str,
    path: str,
    user: str,
    told: str,
    event: dict[str, Any] | None = None,
    page_event: dict[str, Any] | None = None,
) -> Step:
    """A heartbeat; `told`: Presence-Status and Presence-User of its answer."""
    body = {"sessionId": session, "currentPath": path}
    if user:
        body["userToken"] = token_of(user) if user in NAMES else "not a token"
    events = [event] if event else [], [page_event] if page_event else []
    return Step("POST", "/heartbeat", body, 204, told.split(), *events)


X, Y, Z = "/docs/x", "/docs/y", "/docs/z"
AFTER_ANNA, AFTER_BOB = (write_user_cursor(f"{X}\t{user}") for user in (ANNA, BOB))
STEPS = [
    # Anna comes with two devices, Bob with one, and one who is nobody, or not who they say.
    beat(PHONE, X, ANNA, "created ok", event("online", ANNA, 1, X, total=1)),
    beat(
        LAPTOP, Y, ANNA, "created ok",
        event("moved", ANNA, 2, X, Y, total=1), event("online", ANNA, 2, Y, total=1),
    ),
    beat(BOBS, X, BOB, "created ok", event("online", BOB, 1, X, total=2)),
    beat(STRANGERS, Y, "", "created"),
    beat(STRANGERS, X, "forged", "moved invalid"),
    beat(PHONE, X, ANNA, "duplicate ok"),
    Step("GET", "/users", told=page(row(ANNA, 2, X, Y), row(BOB, 1, X), total=2)),
    Step("GET", f"/users?path={Y}", told=page(row(ANNA, 2, X, Y), total=1)),
    Step("GET", "/users?path=/docs", told=page(total=0)),
    Step("GET", "/users?limit=1", told=page(row(ANNA, 2, X, Y), total=2, cursor=AFTER_ANNA)),
    Step(
        "GET", f"/users?limit=1&cursor={AFTER_ANNA}",
        told=page(row(BOB, 1, X), total=2, cursor=AFTER_BOB),
    ),
    # Behind Bob there is only Anna's other page.
    Step("GET", f"/users?limit=1&cursor={AFTER_BOB}", told=page(total=2)),
    Step("GET", f"/users/{ANNA}", told=row(ANNA, 2, X, Y, online=True, asOf=THEN)),
    Step("GET", f"/users/{BOB}", told=row(BOB, 1, X, online=True, asOf=THEN)),
    Step("GET", "/users/eve", status=404),
    Step(
        "POST", "/users/status", {"userIds": [BOB, "eve", ANNA]},
        told={"statuses": [status(BOB, True, THEN), status("eve", False, None),
                           status(ANNA, True, THEN)], "asOf": THEN},
    ),
    Step("GET", "/stats", told=stats(4, 2, 5, x=3, y=1)),
    # They move, and go.
    beat(PHONE, Z, ANNA, "moved ok", event("moved", ANNA, 2, Y, Z, total=2)),
    beat(
        BOBS, Y, BOB, "moved ok",
        event("moved", BOB, 1, Y, total=2), event("online", BOB, 1, Y, total=2),
    ),
    Step("GET", f"/users?path={X}", told=page(total=0)),
    Step("GET", f"/users?path={Y}", told=page(row(ANNA, 2, Y, Z), row(BOB, 1, Y), total=2)),
    Step(
        "POST", "/leave", {"sessionId": BOBS}, 204,
        site_events=[event("offline", BOB, total=1)],
        page_events=[event("offline", BOB, total=1)],
    ),
    Step(
        "POST", "/leave", {"sessionId": PHONE}, 204,
        site_events=[event("moved", ANNA, 1, Y, total=1)],
    ),
    Step("GET", "/users", told=page(row(ANNA, 1, Y), total=1)),
    Step("GET", f"/users/{BOB}", told=row(BOB, 0, since=None, online=False, asOf=THEN)),
    Step(
        "POST", "/users/status", {"userIds": [BOB, ANNA]},
        told={"statuses": [status(BOB, False, THEN), status(ANNA, True, THEN)], "asOf": THEN},
    ),
    Step("GET", "/stats", told=stats(2, 1, 7, x=1, y=1)),
    # She is erased, and Bob is remembered.
    Step(
        "DELETE", f"/users/{ANNA}", None, 204,
        site_events=[begins(total=0)], page_events=[begins(total=0)],
    ),
    Step("GET", f"/users/{ANNA}", status=404),
    Step("GET", "/users", told=page(total=0)),
    Step("GET", f"/users/{BOB}", told=row(BOB, 0, since=None, online=False, asOf=THEN)),
    Step("GET", "/stats", told=stats(1, 0, 7, x=1)),
    Step("DELETE", f"/users/{ANNA}", None, 204),
]  # fmt: skip


def timeless(told: Any) -> Any:
    """With THEN for each moment, and null left as it is."""
    if isinstance(told, list):
        return [timeless(part) for part in told]
    if not isinstance(told, dict):
        return told
    return {
        name: THEN if name in MOMENTS and isinstance(value, int) else timeless(value)
        for name, value in told.items()
    }


def answer_of(step: Step, answer: httpx.Response) -> Any:
    """What a step expects something of."""
    if step.path == "/heartbeat":
        headers = (answer.headers.get(f"presence-{name}") for name in ("status", "user"))
        return [value for value in headers if value]
    if step.told is None:
        return None
    body = timeless(answer.json())
    return {name: body.get(name) for name in step.told} if step.path == "/stats" else body


class Stream:
    """A live stream of users, without the numbers of the site."""

    def __init__(self, answer: httpx.Response) -> None:
        assert answer.status_code == 200
        self._lines = answer.aiter_lines()
        self._kind = ""

    async def next(self) -> dict[str, Any]:
        """The next event about users."""
        async for line in self._lines:
            name, _, value = line.partition(": ")
            if name == "event":
                self._kind = value
            elif name == "data" and self._kind != "change":
                data = timeless(json.loads(value))
                if self._kind == "snapshot":
                    data = {name: data[name] for name in ("users", "totalUsers")}
                return {"event": self._kind, **data}
        raise AssertionError("the stream has ended")


@contextlib.asynccontextmanager
async def watching(
    client: httpx.AsyncClient, query: str, token: str | None = None
) -> AsyncIterator[Stream]:
    headers = {"Authorization": f"Bearer {token}"} if token else None
    async with client.stream("GET", f"/live?{query}", headers=headers) as answer:
        yield Stream(answer)


async def told_by(stream: Stream, expected: dict[str, Any]) -> dict[str, Any]:
    """The next event. Between her last session's end and the rest of an erasure, a tick may have
    told that she left."""
    told = await stream.next()
    if expected["event"] == "snapshot" and told["event"] == "offline":
        assert told == event("offline", ANNA, total=0)
        told = await stream.next()
    return told


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("backend", ["valkey", "redis7", "cluster"])
async def test_the_same_is_told_wherever_users_are_kept(
    request: pytest.FixtureRequest, tmp_path: Path, key_prefix: str, backend: str, shards: int
) -> None:
    sessions = (LAPTOP, PHONE, BOBS, STRANGERS)
    assert {shard_of(session, shards) for session in sessions} == set(range(shards))
    url = url_of(request, backend)
    sites_file = tmp_path / "sites.toml"
    sites_file.write_text(SITES)
    settings = {
        "SITES_FILE": str(sites_file), "SHARDS": str(shards), "KEY_PREFIX": key_prefix,
        "LIVE_TICK": "0.05", "LEAVE_GRACE": "0.2",
    }  # fmt: skip
    headers = {"Authorization": "Bearer team-token"}
    with copies(1, url, **settings) as (copy,):
        async with (
            httpx.AsyncClient(base_url=copy.url + SITE, headers=headers, timeout=20) as client,
            watching(client, "users=1") as of_site,
            watching(client, f"users=1&path={Y}", token_of(BOB)) as of_page,
        ):
            assert await of_site.next() == await of_page.next() == begins(total=0)
            for n, step in enumerate(STEPS):
                answer = await client.request(step.method, step.path, json=step.body)
                assert answer.status_code == step.status, (n, step, answer.text)
                assert answer_of(step, answer) == step.told, (n, step)
                for stream, events in (of_site, step.site_events), (of_page, step.page_events):
                    for expected in events:
                        assert await told_by(stream, expected) == expected, (n, step)
            metrics = (await client.get(f"{copy.url}/metrics")).raise_for_status()
        async for make_store in store_factory(url, key_prefix):
            store = make_store(shards=shards, has_users=True)
            kept = [text async for text in everything(store)]
            await invariants.check(store, "team", await now_of(store), views_erased=True)
        for name in (ANNA, "Anna"):
            assert name not in "".join((metrics.text, copy.log, *kept))
        assert BOB in "".join(kept), "who is remembered is found"
    if backend == "cluster":
        nodes = request.getfixturevalue("valkey_cluster")
        hold = [any(node.client.scan_iter(f"{key_prefix}:*{{team*")) for node in nodes]
        assert sum(hold) == shards
