"""All copies split sites into the same number of shards, or do not start."""

import asyncio
import signal
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.errors import ShardCountError, StoreUnreachable
from service.settings import Settings
from service.store.shard_count import agree_or_ask_later
from service.store.writer import Heartbeat
from tests.conftest import MakeService, MakeStore
from tests.servers import Server

BEAT = Heartbeat("session-0000000001", "/", "", "", "")


@pytest.mark.parametrize(
    "first, then, is_agreed",
    [(1, 1, True), (4, 4, True), (1, 4, False), (4, 1, False), (4, 5, False)],
)
async def test_the_first_copy_says_how(
    make_store: MakeStore, first: int, then: int, is_agreed: bool
) -> None:
    for store in (make_store(shards=first), make_store(shards=first)):
        await store.agree_on_shards()
    other = make_store(shards=then)
    if is_agreed:
        await other.agree_on_shards()
        return
    with pytest.raises(ShardCountError) as refusal:
        await other.agree_on_shards()
    assert f"PRESENCE_SHARDS is {then}" in str(refusal.value)
    assert f"written with {first}" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("before, now, said", [(1, 3, "with 1:"), (3, 1, "with 3 or more:")])
async def test_data_of_a_release_that_noted_nothing(
    make_store: MakeStore, before: int, now: int, said: str
) -> None:
    old = make_store(shards=before)
    await old.heartbeats("blog", [BEAT._replace(session_id=f"session-{n:010d}") for n in range(30)])
    await old.claim([], 6000, 1)  # what was opened is written to the list of due sites
    for _ in range(2):
        with pytest.raises(ShardCountError, match=said):
            await make_store(shards=now).agree_on_shards()
    await old.agree_on_shards()


async def test_who_only_looks_notes_nothing(make_store: MakeStore) -> None:
    await make_store(shards=3).agree_on_shards(may_note=False)
    store = make_store(shards=4)
    await store.agree_on_shards(may_note=False)
    beats = [BEAT._replace(session_id=f"session-{n:010d}") for n in range(40)]
    await store.heartbeats("blog", beats)
    await store.claim([], 6000, 0)
    assert await store.connection.client.get(store.keys.shard_count) is None
    for may_note in (False, True):
        with pytest.raises(ShardCountError, match="with 4 or more"):
            await make_store(shards=3).agree_on_shards(may_note=may_note)
    await store.agree_on_shards()
    assert await store.connection.client.get(store.keys.shard_count) == "4"


async def test_it_is_noted_with_a_life_that_use_prolongs(make_store: MakeStore) -> None:
    store = make_store()
    await store.agree_on_shards()
    client = store.connection.client
    await client.pexpire(store.keys.shard_count, 60_000)
    await store.heartbeat("blog", BEAT)
    await store.claim([], 6000, 1)
    assert await client.pttl(store.keys.shard_count) > 300 * 86_400_000


async def test_a_service_does_not_start(
    make_service: MakeService, valkey: Server, caplog: pytest.LogCaptureFixture
) -> None:
    await make_service(valkey.url, SHARDS="2")
    with pytest.raises(ShardCountError):
        await make_service(valkey.url, SHARDS="3")


async def test_redis_is_asked_later_where_it_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.store.shard_count.ASK_AGAIN_S", 0.01)
    answers: list[Any] = [StoreUnreachable("away"), StoreUnreachable("away"), None]
    told: list[int] = []
    monkeypatch.setattr("os.kill", lambda process, number: told.append(number))

    class Store:
        async def agree_on_shards(self) -> None:
            if answer := answers.pop(0):
                raise answer

    task = await agree_or_ask_later(Store())  # type: ignore[arg-type]
    assert task
    await task
    assert (answers, told) == ([], [])
    answers = [StoreUnreachable("away"), ShardCountError("PRESENCE_SHARDS …")]
    task = await agree_or_ask_later(Store())  # type: ignore[arg-type]
    assert task
    await task
    assert told == [signal.SIGTERM]


async def test_a_redis_that_is_away_does_not_keep_it_from_starting() -> None:
    settings = Settings.from_env({"PRESENCE_REDIS_URL": "redis://127.0.0.1:1"})
    app: Any = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            assert (await client.get("/livez")).status_code == 200
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "layout"]
