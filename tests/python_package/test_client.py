"""Both clients against a real service, and what they raise."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from presence_api import (
    AsyncPresence,
    Beat,
    Presence,
    PresenceError,
    RefusedError,
    UnavailableError,
)
from tests.browser.site import LiveService
from tests.python_package.conftest import TLS, TOKEN
from tests.servers import free_port

BEAT = ("7d7b4f3e9d573a1d", "/docs/x")


class Caller:
    """Calls methods of either client by name, so that each test is one for both."""

    def __init__(self, kind: str, *site: Any, **options: Any) -> None:
        self._kind, self._site, self._options = kind, site, {"verify": TLS, **options}

    def __call__(self, method: str, *arguments: Any, **details: Any) -> Any:
        if self._kind == "sync":
            client = Presence(*self._site, **self._options)
            with client.http:
                return getattr(client, method)(*arguments, **details)
        return asyncio.run(self._await(method, *arguments, **details))

    async def _await(self, method: str, *arguments: Any, **details: Any) -> Any:
        client = AsyncPresence(*self._site, **self._options)
        async with client.http:
            return await getattr(client, method)(*arguments, **details)


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest) -> Callable[..., Caller]:
    """Makes callers of each kind of client."""
    return lambda *site, **options: Caller(request.param, *site, **options)


@pytest.fixture
def call(make: Callable[..., Caller], live_service: LiveService) -> Caller:
    """Of the site with users, with its token."""
    return make(live_service.url, "team", TOKEN)


def test_a_heartbeat_says_what_came_of_it(call: Caller, request: pytest.FixtureRequest) -> None:
    session = f"session-of-{request.node.callspec.id:_<16}"
    assert call("beat", session, "/") == "created"
    assert call("beat", session, "/") == "duplicate"
    assert call("beat", session, "/é?q=1", country="DE", userId="u", name="Ü") == "moved"


def test_users(call: Caller, request: pytest.FixtureRequest) -> None:
    user = f"anna-{request.node.callspec.id}"
    path = f"/of/{user}"
    beat: Beat = {"sessionId": f"{user}-0123456789", "currentPath": path}
    beat |= {"userId": user, "name": "Anna", "avatar": "https://example.com/a.png"}
    wrong = {**beat, "userId": "not an id"}
    result = call("batch", [beat, wrong])
    assert result["results"] == ["created", "invalid"]
    assert [(e["index"], e["field"]) for e in result["errors"]] == [(1, "userId")]
    page = call("users", path)
    (found,) = page["users"]
    assert found | {"since": 0, "lastSeen": 0} == {
        "userId": user, "name": "Anna", "avatar": "https://example.com/a.png", "since": 0,
        "lastSeen": 0, "sessions": 1, "paths": [path],
    }  # fmt: skip
    assert page["total"] == 1
    assert page["nextCursor"] is None
    assert [(one["userId"], one["online"]) for one in call("status", [user, "nobody"])] == [
        (user, True), ("nobody", False),
    ]  # fmt: skip


def test_headers_of_ones_own_go_along_with_the_token(
    make: Callable[..., Caller], live_service: LiveService
) -> None:
    for token, headers in {
        TOKEN: {"User-Agent": "x"},
        "": {"Authorization": f"Bearer {TOKEN}"},
    }.items():
        assert make(live_service.url, "team", token, headers=headers)("status", ["nobody"])


def test_users_page_by_page(call: Caller) -> None:
    beats = [
        {"sessionId": f"{n:016}", "currentPath": "/crowd", "userId": f"u{n}"} for n in range(1002)
    ]
    for at in range(0, len(beats), 1000):
        call("batch", beats[at : at + 1000])
    found, cursor = set(), None
    while True:
        page = call("users", "/crowd", cursor)
        found |= {user["userId"] for user in page["users"]}
        if (cursor := page["nextCursor"]) is None:
            break
    assert found == {beat["userId"] for beat in beats}


@pytest.mark.parametrize(
    "site, token, method, arguments, status, field",
    [
        ("team", "not the token", "beat", BEAT, 403, ""),
        ("team", "", "users", (), 401, ""),
        ("nowhere", "", "beat", BEAT, 401, ""),
        ("team/../open", TOKEN, "beat", BEAT, 404, ""),
        ("team", TOKEN, "beat", ("short", "/"), 422, "sessionId"),
        ("team", TOKEN, "beat", (BEAT[0], "no path"), 422, "currentPath"),
        ("team", TOKEN, "status", (["x"] * 501,), 422, "userIds"),
        ("team", TOKEN, "batch", ([{}] * 1001,), 422, "heartbeats"),
    ],
)
def test_what_is_refused(
    make: Callable[..., Caller],
    live_service: LiveService,
    site: str,
    token: str,
    method: str,
    arguments: Any,
    status: int,
    field: str,
) -> None:
    with pytest.raises(RefusedError) as caught:
        make(live_service.url, site, token)(method, *arguments)
    error = caught.value
    assert (error.status, error.field) == (status, field), error
    assert str(status) in str(error)
    assert token not in str(error) or not token


def test_too_many_without_a_token(make: Callable[..., Caller], tmp_path: Path) -> None:
    service = LiveService(tmp_path, "memory://", NEW_SESSIONS_PER_MINUTE="1").start()
    try:
        call = make(service.url, "blog")
        assert call("beat", *BEAT) == "created"
        with pytest.raises(UnavailableError) as caught:
            call("beat", "another-session-0", "/")
        assert (caught.value.status, caught.value.retry_after) == (429, 60)
    finally:
        service.close()


class _Proxy(BaseHTTPRequestHandler):
    """Answers with what the site is called: status-type-retry."""

    def do_POST(self) -> None:
        status, kind, wait = self.path.split("/")[3].split("-")
        body = {
            "html": b"<h1>Sorry</h1>", "list": b"[1]", "none": b"", "latin": b"\xff",
            "json": b'{"detail":"down"}',
        }[kind]  # fmt: skip
        self.send_response(int(status))
        if wait:
            self.send_header("Retry-After", wait)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def proxy() -> Iterator[str]:
    """A proxy whose service is away, or is another one."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "site, kind, detail, wait",
    [
        ("502-html-", UnavailableError, "this is not an answer of the service", 0),
        ("503-json-7", UnavailableError, "down", 7),
        ("429-json-3", UnavailableError, "down", 3),
        ("503-json-soon", UnavailableError, "down", 0),
        ("404-json-", RefusedError, "down", 0),
        ("404-html-", RefusedError, "this is not an answer of the service", 0),
        ("302-none-", UnavailableError, "this is not an answer of the service", 0),
        ("200-html-", UnavailableError, "this is not an answer of the service", 0),
        ("200-list-", UnavailableError, "this is not an answer of the service", 0),
        ("200-latin-", UnavailableError, "this is not an answer of the service", 0),
    ],
)
def test_what_stands_in_between(
    make: Callable[..., Caller],
    proxy: str,
    site: str,
    kind: type[PresenceError],
    detail: str,
    wait: float,
) -> None:
    with pytest.raises(PresenceError) as caught:
        make(proxy, site)("beat", *BEAT)
    assert (type(caught.value), caught.value.detail) == (kind, detail)
    assert caught.value.retry_after == wait


def test_no_answer(make: Callable[..., Caller], live_service: LiveService) -> None:
    nobody = make(f"http://127.0.0.1:{free_port()}", "team", TOKEN)
    with pytest.raises(UnavailableError) as caught:
        nobody("beat", *BEAT)
    assert (caught.value.status, caught.value.retry_after) == (0, 0)
    assert TOKEN not in f"{caught.value!r}"
    with live_service.frozen(), pytest.raises(UnavailableError, match="Timeout"):
        make(live_service.url, "team", TOKEN, timeout=0.2)("beat", *BEAT)


def test_connections_are_kept_and_waits_are_bounded(live_service: LiveService) -> None:
    client = Presence(live_service.url, "team", TOKEN)
    with client.http:
        for _ in range(3):
            client.beat(*BEAT)
        pool = client.http._transport._pool  # type: ignore[attr-defined]
        assert len(pool.connections) == 1
        timeout = client.http.timeout
    assert (timeout.connect, timeout.read, timeout.write, timeout.pool) == (5, 5, 5, 5)
