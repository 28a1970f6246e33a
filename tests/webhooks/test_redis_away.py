"""While Redis is away nothing is told, and the crowd that comes back afterwards is one event."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from service.errors import StoreError
from service.redis.client import connect
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.store import PresenceStore
from service.store.writer import Heartbeat
from tests.servers import Server
from tests.webhooks.conftest import QUICK, StartSender, until, webhook_to
from tests.webhooks.receiver import Receiver

CROWD = [f"session-{n:010d}" for n in range(12)]
KINDS = ["site.occupied", "site.vacated", "active.above", "active.below"]
AWAY_S = 7.0  # more than what is taken for a hiccup, and than a session lasts without heartbeats


@pytest.fixture
async def own() -> AsyncIterator[tuple[Server, PresenceStore]]:
    """A Valkey of its own, and a store there in which sessions are soon over."""
    with Server("valkey") as server:
        rules = StoreConfig(session_timeout_ms=2_000, heartbeat_dedup_ms=0)
        store = PresenceStore(connect(server.url), Keys("presence"), rules)
        yield server, store
        await store.close()


async def crowd_comes(store: PresenceStore) -> None:
    for session in CROWD:
        await store.heartbeat("blog", Heartbeat(session, "/", "", "", "", ""))


@contextlib.asynccontextmanager
async def staying(store: PresenceStore) -> AsyncIterator[None]:
    """All of them go on sending heartbeats, and who has expired is swept, where Redis lets them."""

    async def stay() -> None:
        while True:
            await asyncio.sleep(0.3)
            with contextlib.suppress(StoreError):
                await store.sweep("blog")
                await crowd_comes(store)

    task = asyncio.create_task(stay())
    yield
    task.cancel()
    await asyncio.wait([task])


async def followed(store: PresenceStore) -> None:
    """Waits until all that was logged was followed."""
    end = (await store.webhook_here("blog", "")).positions
    deadline = time.monotonic() + 20
    while (await store.webhooks.kept("blog", "backend")).get("cursor") != ",".join(end):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_who_comes_back_to_a_redis_that_was_frozen_was_never_gone(
    own: tuple[Server, PresenceStore], receiver: Receiver, start_sender: StartSender
) -> None:
    server, store = own
    hook = webhook_to(receiver.url, events=KINDS, above=10, below=5)
    start_sender(store, hook, QUICK._replace(grace_s=5.0))
    await crowd_comes(store)
    async with staying(store):
        await until(lambda: receiver.types == ["site.occupied", "active.above"])
        server.freeze()
        await asyncio.sleep(AWAY_S)
        assert len(receiver.taken) == 2
        server.thaw()
        # They are told as gone by the log, and come back.
        client = server.client
        stream = store.keys.of_site("blog")[0].events
        await until(lambda: client.xlen(stream) >= 3 * len(CROWD))
    await followed(store)
    assert receiver.types == ["site.occupied", "active.above"]
    # Who goes now is told as gone, when the time is over in which nobody is.
    for session in CROWD:
        await store.end("blog", session)
    await until(lambda: sorted(receiver.types[2:]) == ["active.below", "site.vacated"])


async def test_who_comes_back_to_a_redis_that_is_empty_is_one_event(
    own: tuple[Server, PresenceStore], receiver: Receiver, start_sender: StartSender
) -> None:
    server, store = own
    hook = webhook_to(receiver.url, events=KINDS, above=10, below=5)
    start_sender(store, hook, QUICK._replace(grace_s=5.0))
    await crowd_comes(store)
    async with staying(store):
        await until(lambda: receiver.types == ["site.occupied", "active.above"])
        server.kill()
        await asyncio.sleep(2)
        assert len(receiver.taken) == 2
        server.start()
        await until(lambda: len(receiver.taken) >= 4)
    await followed(store)
    assert receiver.types == ["site.occupied", "active.above"] * 2
