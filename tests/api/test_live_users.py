"""`GET /v1/sites/{site}/live?users=1` over HTTP: who may, what is refused, and what is sent."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.api.user_tokens import LEEWAY_S, User, mint
from service.server.fast_path import FastPathProtocol
from service.store.writer import Heartbeat
from tests.conftest import MakeService
from tests.live.test_live import FAST, events_in
from tests.server.test_fast_path import Served, request, serving

SITES = """
["team"]
token = "word-of-the-team"
user_secrets = ["a secret of at least thirty-two bytes"]

["hidden"]
public = false
token = "word-of-the-hidden"
user_secrets = ["a secret of at least thirty-two bytes"]

["plain"]
token = "word-of-the-plain"
"""
OPERATOR = "word-of-the-operator"
GRACE_MS = 5_000


@pytest.fixture
def sites_file(tmp_path: Path) -> str:
    """Sites with users, open and private, and one without."""
    path = tmp_path / "sites.toml"
    path.write_text(SITES)
    return str(path)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "site, query, token, status, field",
    [
        ("team", "users=1", None, 401, None),
        ("team", "users=1", "another word", 401, None),
        ("team", "users=1", "word-of-the-hidden", 401, None),
        ("hidden", "users=1", None, 401, None),
        ("hidden", "users=1", "word-of-the-team", 401, None),
        ("nowhere", "users=1", None, 401, None),
        ("nowhere", "users=1", OPERATOR, 404, None),
        ("plain", "users=1", None, 404, None),
        ("plain", "users=1", "word-of-the-plain", 404, None),
        ("plain", "users=1", OPERATOR, 404, None),
        ("team", "users=1&path=docs", "word-of-the-team", 422, "path"),
        # A URL is in logs and histories: a token in it is no token.
        ("team", "users=1&token=word-of-the-team", None, 401, None),
        ("team", "users=1&access_token=word-of-the-team", None, 401, None),
        ("team", "users=1&userToken=word-of-the-team", None, 401, None),
    ],
)
async def test_who_may_not_and_what_is_refused(
    make_service: MakeService,
    sites_file: str,
    method: str,
    site: str,
    query: str,
    token: str | None,
    status: int,
    field: str | None,
) -> None:
    service = await make_service(SITES_FILE=sites_file, ADMIN_TOKEN=OPERATOR)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = await service.client.request(method, f"/v1/sites/{site}/live?{query}", headers=headers)
    assert answer.status_code == status
    if method == "GET":
        assert answer.json().get("field") == field
    assert service.app.state.context.streams.taken_in_all == 0


class UserStream:
    """A client of a stream, over a socket of its own."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._events: list[dict[str, str]] = []

    async def next(self, *, of_users: bool = True) -> tuple[str, Any]:
        """The next event but for `change`."""
        async with asyncio.timeout(20):
            while True:
                while not self._events:
                    size = int(await self._reader.readline(), 16)
                    assert size, "the stream has ended"
                    self._events = events_in(await self._reader.readexactly(size))
                    await self._reader.readline()
                event = self._events.pop(0)
                if event["event"] != "change" or not of_users:
                    return event["event"], json.loads(event["data"])


@contextlib.asynccontextmanager
async def streaming(
    served: Served, query: str, *headers: str, site: str = "team"
) -> AsyncIterator[UserStream]:
    reader, writer = await served.connect()
    target = f"/v1/sites/{site}/live?{query}"
    writer.write(request(b"", *headers, method="GET", target=target))
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    yield UserStream(reader)
    writer.close()


def beat(session: str, path: str, user: str) -> Heartbeat:
    return Heartbeat(f"session-of-{session:>012}", path, "", "", "", user)


@pytest.mark.parametrize("site", ["team", "hidden"])
@pytest.mark.parametrize("shards", ["1", "3"])
async def test_two_tabs_and_a_phone_are_one_user(sites_file: str, site: str, shards: str) -> None:
    token = f"Authorization: Bearer word-of-the-{site}"
    settings = FAST | {"SITES_FILE": sites_file, "SHARDS": shards, "LEAVE_GRACE": "5"}
    devices = ["tab", "other-tab", "phone"]
    async with (
        serving(FastPathProtocol, **settings) as served,
        streaming(served, "users=1", token, site=site) as whole,
        streaming(served, "users=1&path=/b&feed=1", token, site=site) as page,
    ):
        for stream in (whole, page):
            kind, data = await stream.next()
            assert (kind, data["users"], data["totalUsers"]) == ("snapshot", [], 0)
        for device in devices:
            await served.store.heartbeat(site, beat(device, "/a", "anna"))
        kind, data = await whole.next()
        assert (kind, data["userId"], data["totalUsers"]) == ("online", "anna", 1)
        await served.store.heartbeat(site, beat("phone", "/b", "anna"))
        kind, data = await page.next()
        assert (kind, data["userId"], data["paths"]) == ("online", "anna", ["/b"])
        kind, data = await whole.next()
        assert (kind, data["paths"], data["sessions"]) == ("moved", ["/a", "/b"], 3)

        for device in devices:
            await served.store.leave(site, f"session-of-{device:>012}")
        begun = asyncio.get_running_loop().time()
        served.store.clock.advance(GRACE_MS)
        assert (await page.next())[0] == "offline"
        # Their departures may be seen by two ticks.
        kind, data = await whole.next()
        if kind == "moved":
            kind, data = await whole.next()
        assert (kind, data["userId"], data["totalUsers"]) == ("offline", "anna", 0)
        assert asyncio.get_running_loop().time() - begun < 5


async def test_a_stream_of_users_that_comes_back_begins_with_a_snapshot(sites_file: str) -> None:
    settings = FAST | {"SITES_FILE": sites_file, "ADMIN_TOKEN": OPERATOR}
    operator = f"Authorization: Bearer {OPERATOR}"
    async with serving(FastPathProtocol, **settings) as served:
        await served.store.heartbeat("team", beat("tab", "/a", "anna"))
        _, (position,) = await served.store.stats_and_positions("team")
        last = f"Last-Event-ID: {position}"
        async with streaming(served, "users=1", operator, last) as stream:
            kind, data = await stream.next(of_users=False)
            assert kind == "snapshot"
            assert [row["userId"] for row in data["users"]] == ["anna"]
        # Without users=1 it is what it was, for anybody.
        for query in ("", "users=0", "users=", "users=true"):
            async with streaming(served, query, last) as stream:
                assert (await stream.next(of_users=False))[0] == "change"


@pytest.mark.parametrize("site, has_numbers", [("team", True), ("hidden", False)])
async def test_a_user_is_told_no_numbers_of_a_private_site(
    sites_file: str, site: str, has_numbers: bool
) -> None:
    user = User("anna", sees=("/a",))
    token = mint("a secret of at least thirty-two bytes", site, user, expires=time.time() + 60)
    bearer = f"Authorization: Bearer {token}"
    async with serving(FastPathProtocol, SITES_FILE=sites_file, **FAST) as served:
        await served.store.heartbeat(site, beat("tab", "/secret", "carl"))
        query = "users=1&path=/a&feed=1"
        async with streaming(served, query, bearer, site=site) as stream:
            await served.store.heartbeat(site, beat("phone", "/secret", "dora"))
            await served.store.heartbeat(site, beat("other", "/a", "bob"))
            told: dict[str, Any] = {}
            while "online" not in told or "change" not in told:
                kind, data = await stream.next(of_users=False)
                told[kind] = data
            moment = {"asOf", "totalUsers"}
            assert (told["snapshot"].keys() == moment | {"users"}) is not has_numbers
            assert (told["change"].keys() == moment) is not has_numbers
            assert ("/secret" in json.dumps(told)) is has_numbers
            assert ("feed" in told["change"]) is has_numbers
            assert told["online"]["userId"] == "bob"


async def test_a_stream_ends_with_the_token_that_opened_it(
    make_service: MakeService, sites_file: str
) -> None:
    service = await make_service(SITES_FILE=sites_file, **FAST)
    secret, user = "a secret of at least thirty-two bytes", User("anna", sees=("/*",))
    # Valid for two seconds yet, by the leeway between clocks.
    token = mint(secret, "team", user, expires=time.time() + 2 - LEEWAY_S)
    headers = {"Authorization": f"Bearer {token}"}
    async with asyncio.timeout(20):
        answer = await service.client.get("/v1/sites/team/live?users=1", headers=headers)
    assert answer.status_code == 200
    assert "event: snapshot" in answer.text
    again = await service.client.get("/v1/sites/team/live?users=1", headers=headers)
    assert again.status_code == 401
