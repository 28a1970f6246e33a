"""PRESENCE_READ_FROM=replicas: replicas answer what only reads, as long as they are recent, and
whatever they cannot answer the primary does."""

import asyncio
import contextlib
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.crc import key_slot

from service.redis.client import DEADLINE_S, ReplicaReads, connect
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.store import PresenceStore
from service.store.writer import Heartbeat
from tests import servers
from tests.conftest import MakeService
from tests.restricted import restrict, url_of
from tests.servers import Server, wait_until
from tests.webhooks.conftest import until
from tests.webhooks.receiver import Receiver, sites_file

pytestmark = pytest.mark.server

MAX_AGE_MS = 2_000
IN_STEP = ("--repl-diskless-sync-delay", "0")


def beat(path: str = "/") -> Heartbeat:
    return Heartbeat(str(uuid.uuid4()), path, "", "", "")


@contextlib.contextmanager
def pair(kind: str = "valkey") -> Iterator[tuple[Server, Server]]:
    """A primary and its replica."""
    with Server(kind, *IN_STEP) as primary, Server(kind, *IN_STEP) as replica:
        replica.client.execute_command("REPLICAOF", "127.0.0.1", primary.port)
        wait_until(lambda: replica.client.info("replication")["master_link_status"] == "up")
        yield primary, replica


class Reading:
    """A store that reads from replicas, and who answered."""

    def __init__(self, store: PresenceStore) -> None:
        self.store = store
        self.outcomes: Counter[str] = Counter()
        assert store.connection.replicas
        store.connection.replicas.observe = lambda outcome: self.outcomes.update([outcome])
        self.follow()

    def follow(self) -> None:
        self._following = asyncio.create_task(self.store.follow_replicas())

    async def stop_following(self) -> None:
        self._following.cancel()
        await asyncio.wait([self._following])

    async def until(self, outcome: str, site: str = "blog") -> None:
        """Reads until a read ends so."""
        before = self.outcomes[outcome]
        async with asyncio.timeout(20):
            while self.outcomes[outcome] == before:
                await self.store.count(site, None)
                await asyncio.sleep(0.01)

    async def counts(self, expected: int) -> None:
        """Reads until so many are counted."""
        async with asyncio.timeout(20):
            while (await self.store.count("blog", None))[0] != expected:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def reading(
    url: str, shards: int = 1, max_age_ms: int = MAX_AGE_MS
) -> AsyncIterator[Reading]:
    connection = connect(url, reads=ReplicaReads("presence:clock", max_age_ms))
    store = PresenceStore(connection, Keys("presence", shards), StoreConfig())
    found = Reading(store)
    try:
        yield found
    finally:
        await found.stop_following()
        await store.close()


def scripts_run(server: Server) -> int:
    """How many scripts that only read a server has run."""
    stats = server.client.info("commandstats")
    return int(stats.get("cmdstat_evalsha_ro", {"calls": 0})["calls"])


def now_ms(server: Server) -> int:
    seconds, micros = server.client.time()
    return int(seconds * 1000 + micros // 1000)


@pytest.mark.parametrize("kind", ["valkey", "redis7"])
async def test_the_replica_answers_and_says_of_when(kind: str) -> None:
    with pair(kind) as (primary, replica):
        async with reading(primary.url) as found:
            store = found.store
            assert await store.heartbeats("blog", [beat("/a"), beat("/b")]) == ["created"] * 2
            await found.until("answered")
            await found.counts(2)
            of_primary, of_replica = scripts_run(primary), scripts_run(replica)
            stats = await store.stats("blog")
            assert (stats.activeVisitors, stats.totalPageViews) == (2, 2)
            assert now_ms(primary) - MAX_AGE_MS <= stats.asOf <= now_ms(primary)
            listed = await store.sessions("blog", limit=9, cursor=None, path=None)
            assert {row.currentPath for row in listed.sessions} == {"/a", "/b"}
            assert (await store.history("blog", "hours", 1)).points[-1].views == 2
            assert len((await store.views("blog", after="0", limit=9)).views) == 2
            assert scripts_run(primary) == of_primary
            assert scripts_run(replica) > of_replica


async def test_a_count_after_a_heartbeat_has_it() -> None:
    with pair() as (primary, replica):
        async with reading(primary.url) as found:
            await found.until("answered")
            replica.freeze()
            for n in range(1, 4):
                _, (active, on_path, _) = await found.store.heartbeat_and_count("blog", beat("/a"))
                assert (active, on_path) == (n, n)


async def test_what_is_too_old_is_asked_of_the_primary() -> None:
    """The link is cut, so that the replica answers as of then. Nobody looks who the replicas are
    meanwhile, or it would be asked no more."""
    with pair() as (primary, replica):
        async with reading(primary.url, max_age_ms=1_000) as found:
            await found.until("answered")
            await found.stop_following()
            replica.client.execute_command("REPLICAOF", "127.0.0.1", servers.free_port())
            assert await found.store.heartbeat("blog", beat()) == "created"
            await found.until("old")
            asked_at = now_ms(primary)
            stats = await found.store.stats("blog")
            assert stats.activeVisitors == 1
            assert stats.asOf >= asked_at - 1_000
            replica.client.execute_command("REPLICAOF", "127.0.0.1", primary.port)
            found.follow()
            await found.until("answered")


@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_a_replica_that_is_away_is_no_fault(fault: str) -> None:
    with pair() as (primary, replica):
        async with reading(primary.url) as found:
            assert await found.store.heartbeat("blog", beat()) == "created"
            await found.until("answered")
            getattr(replica, fault)()
            slowest, end = 0.0, time.monotonic() + 1.5
            while time.monotonic() < end or not found.outcomes["away"]:
                began = time.monotonic()
                assert (await found.store.count("blog", None))[0] == 1
                slowest = max(slowest, time.monotonic() - began)
                await asyncio.sleep(0.005)
            assert slowest < DEADLINE_S
            if fault == "freeze":
                replica.thaw()
                await found.until("answered")


async def test_what_a_replica_calls_lost_is_asked_of_the_primary() -> None:
    """A reader that was told a position by the primary goes on at a replica that is behind."""
    with pair() as (primary, replica):
        async with reading(primary.url) as found:
            store = found.store
            await store.heartbeat("blog", beat("/a"))
            await found.until("answered")
            replica.client.execute_command("REPLICAOF", "127.0.0.1", servers.free_port())
            await store.heartbeat("blog", beat("/b"))
            (position,) = (
                entry[0] for entry in primary.client.xrevrange("presence:{blog}:events", count=1)
            )
            changes = await store.changes("blog", [position])
            assert changes
            assert changes.positions == [position]


async def test_a_replica_that_has_not_heard_that_a_site_is_split_anew_is_not_asked() -> None:
    """It would say that nobody is in shards that it does not know under their names of now."""
    with pair() as (primary, replica):
        async with reading(primary.url, max_age_ms=60_000) as found:
            store = found.store
            await store.heartbeats("blog", [beat("/a") for _ in range(8)])
            await found.until("answered")
            await found.counts(8)
            await found.stop_following()
            replica.client.execute_command("REPLICAOF", "127.0.0.1", servers.free_port())
            await store.layouts.change("blog", 4)
            of_replica = scripts_run(replica)
            assert (await store.count("blog", None))[0] == 8
            assert scripts_run(replica) > of_replica  # it was asked, and not believed
            listed = await store.sessions("blog", limit=9, cursor=None, path=None)
            assert len(listed.sessions) == 8
            replica.client.execute_command("REPLICAOF", "127.0.0.1", primary.port)
            found.follow()
            async with asyncio.timeout(20):
                asked = -1
                while scripts_run(primary) != asked:  # until the replica alone answers again
                    asked = scripts_run(primary)
                    assert (await store.count("blog", None))[0] == 8


async def test_a_failover_with_sentinels() -> None:
    with servers.guarded() as guarded:
        async with reading(guarded.url) as found:
            assert await found.store.heartbeat("blog", beat()) == "created"
            await found.until("answered")
            guarded.primary.kill()
            async with asyncio.timeout(20):
                while True:
                    with contextlib.suppress(Exception):
                        if await found.store.heartbeat("blog", beat()) == "created":
                            break
                    await asyncio.sleep(0.05)
            await found.counts(2)


@pytest.mark.parametrize("shards", [1, 3])
async def test_replicas_of_a_cluster(shards: int) -> None:
    with servers.cluster(nodes=3, replicas=3) as nodes:
        async with reading(servers.cluster_url(nodes), shards) as found:
            beats = [beat() for _ in range(30)]
            assert await found.store.heartbeats("blog", beats) == ["created"] * 30
            await found.until("answered")
            await found.counts(30)
            before = sum(map(scripts_run, nodes[3:]))
            found.outcomes.clear()
            assert (await found.store.stats("blog")).activeVisitors == 30
            # Those of each primary are asked apart; some may be found a moment later.
            assert sum(map(scripts_run, nodes[3:])) > before
            for replica in nodes[3:]:
                replica.kill()
            assert (await found.store.stats("blog")).activeVisitors == 30


async def test_a_primary_that_is_frozen_keeps_no_other_from_being_read() -> None:
    with servers.cluster(nodes=3, replicas=3) as nodes:
        for replica in nodes[3:]:
            replica.client.config_set("cluster-replica-no-failover", "yes")
        first, second = nodes[:2]
        names = (f"blog-{n}" for n in range(99))
        site = next(name for name in names if 5_461 < key_slot(name.encode()) < 10_922)
        async with reading(servers.cluster_url(nodes)) as found:
            assert await found.store.heartbeat(site, beat()) == "created"
            await found.until("answered", site)
            first.freeze()
            frozen_at = now_ms(second)
            async with asyncio.timeout(30):
                while (await found.store.stats(site)).asOf < frozen_at + 2 * MAX_AGE_MS:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            found.outcomes.clear()
            await found.until("answered", site)
            first.thaw()


async def test_without_replicas_everything_is_asked_of_the_primary() -> None:
    with Server("valkey") as alone:
        async with reading(alone.url) as found:
            assert await found.store.heartbeat("blog", beat()) == "created"
            await found.until("away")
            assert (await found.store.count("blog", None))[0] == 1
            assert not found.outcomes["answered"]
            assert not alone.client.exists("presence:clock")


def test_who_reads_from_primaries_has_no_clock_in_redis() -> None:
    """A site that does not ask for it pays nothing: no key, no call, no client."""
    connection: Any = connect("redis://127.0.0.1:1")
    assert connection.replicas is None


async def test_the_setting_over_http(make_service: MakeService, key_prefix: str) -> None:
    """Stats, a live stream and the metrics of an app that reads from a replica, with the rights
    that the documentation names."""
    with pair() as (primary, replica):
        for server in (primary, replica):
            restrict(server, "+role", f"~{key_prefix}:*")
        service = await make_service(url_of(primary), READ_FROM="replicas", LIVE_TICK="0.05")
        client, hub = service.client, service.app.state.context.hub

        async def beat_on(path: str) -> None:
            body = {"sessionId": str(uuid.uuid4()), "currentPath": path}
            answer = await client.post("/v1/sites/blog/heartbeat", json=body)
            assert answer.headers["Presence-Status"] == "created"

        async def is_answered() -> bool:
            await client.get("/v1/sites/blog/active")
            metrics = (await client.get("/metrics")).text
            return 'presence_replica_reads_total{outcome="answered"}' in metrics

        await beat_on("/a")
        async with asyncio.timeout(20):
            while not await is_answered():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            with hub.subscribed("blog") as subscriber:
                await hub.catch_up("blog", subscriber, None)
                by_primary = scripts_run(primary)
                await beat_on("/b")
                told = b""
                while b'"/b"' not in told:
                    told += await subscriber.take()
        stats = (await client.get("/v1/sites/blog/stats")).json()
        assert stats["activeVisitors"] == 2
        assert now_ms(primary) - MAX_AGE_MS <= stats["asOf"] <= now_ms(primary)
        assert scripts_run(primary) == by_primary


async def test_webhooks_read_from_the_primary(make_service: MakeService, tmp_path: Path) -> None:
    """Of a replica that lags they would tell that somebody is gone who is here."""
    file = tmp_path / "sites.toml"
    with pair() as (primary, replica), Receiver() as receiver:
        file.write_text(sites_file(receiver.url, settle=0))
        service = await make_service(primary.url, READ_FROM="replicas", SITES_FILE=str(file))
        await service.store.heartbeat("blog", beat())
        await until(lambda: "site.occupied" in receiver.types)
        stats = replica.client.info("commandstats")
        assert not stats.keys() & {"cmdstat_xrange", "cmdstat_evalsha_ro"}
