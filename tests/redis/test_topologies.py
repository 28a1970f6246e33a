"""`connect(url)`: one URL for every topology, the same deadlines on all of them."""

import asyncio
import contextlib
import dataclasses
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from service.errors import SettingsError, StoreError, StoreRefused, StoreUnreachable
from service.ops.doctor import Doctor
from service.redis.client import connect
from service.redis.connection import Connection
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.store import PresenceStore
from service.store.writer import Heartbeat
from tests import servers
from tests.conftest import MakeService, patient_store
from tests.servers import Server

pytestmark = pytest.mark.server

ANSWER_WITHIN_S = 2.0


def beat(path: str = "/") -> Heartbeat:
    return Heartbeat(str(uuid.uuid4()), path, "", "", "")


@contextlib.asynccontextmanager
async def store_on(connection: Connection, shards: int = 1) -> AsyncIterator[PresenceStore]:
    store = PresenceStore(connection, Keys("presence", shards), StoreConfig())
    try:
        yield store
    finally:
        await store.close()


async def works(url: str, shards: int = 1) -> None:
    """Heartbeats of many sessions go in, and the numbers come back."""
    async with store_on(connect(url), shards) as store:
        assert await store.heartbeats("blog", [beat() for _ in range(300)]) == ["created"] * 300
        stats = await store.stats("blog")
        assert (stats.activeVisitors, stats.totalPageViews) == (300, 300)
        assert sum(row.count for row in stats.activeByPath) == 300
        claims, _ = await store.claim([], 1000, 100)
        assert len(claims) == shards
        await store.probe()


async def recovers(store: PresenceStore, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            assert await store.heartbeat("blog", beat()) == "created"
            return
        except StoreError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "url, topology, lane_of_a",
    [
        ("memory://", "memory", ""),
        ("embedded://", "embedded", ""),
        ("embedded:///var/lib/presence", "embedded", ""),
        ("redis://localhost", "standalone", ""),
        ("rediss://user:word@localhost:6380/1", "standalone", ""),
        ("unix:///run/redis.sock?db=1", "standalone", ""),
        ("redis+sentinel://:word@a:26379,b/primary", "sentinel", ""),
        ("redis+cluster://a:7000,b:7001,[::1]:7002", "cluster", ""),
    ],
)
async def test_the_url_chooses(url: str, topology: str, lane_of_a: str) -> None:
    connection = connect(url)  # nothing is sent, so nothing needs to be there
    assert connection.topology == topology
    assert connection.lane_of("a") == lane_of_a
    await connection.close()


@pytest.mark.parametrize(
    "url, says",
    [
        ("redis+sentinel://a:26379", "name the primary"),
        ("redis+cluster://a:seven", "is not host:port"),
        ("redis+cluster://", "is not host:port"),
        ("http://a", "unknown scheme"),
    ],
)
def test_a_bad_url_says_what_is_wrong(url: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        connect(url)


@pytest.mark.parametrize("shards", [1, 3])
async def test_unix_socket(tmp_path: Path, shards: int) -> None:
    path = tmp_path / "s"
    with Server("valkey", "--unixsocket", str(path)):
        await works(f"unix://{path}", shards)


@pytest.mark.parametrize("shards", [1, 12])
async def test_cluster(valkey_cluster: list[Server], shards: int) -> None:
    for node in valkey_cluster:
        node.client.flushall()
    await works(servers.cluster_url(valkey_cluster), shards)
    if shards > 1:
        holding = [len(node.client.keys("presence:{blog/*}:active")) for node in valkey_cluster]
        assert all(holding), "shards are spread over the nodes"
        assert sum(holding) == shards


async def test_a_cluster_that_looks_like_one_server_is_learned() -> None:
    with servers.cluster(nodes=1) as (node,):
        async with store_on(connect(node.url)) as store:
            sites = [f"site-{n}" for n in range(5)]
            for outcome in ("StoreRefused", "created", "duplicate"):
                session = beat()._replace(session_id="the-same-session-01")
                outcomes = await asyncio.gather(
                    *(store.heartbeat(site, session) for site in sites), return_exceptions=True
                )
                found = [o if isinstance(o, str) else type(o).__name__ for o in outcomes]
                assert found == [outcome] * 5


@pytest.mark.fault("F25")
async def test_a_node_of_a_cluster_is_not_taken_for_one_server(
    valkey_cluster: list[Server],
) -> None:
    for node in valkey_cluster:
        async with store_on(connect(node.url)) as store:
            with pytest.raises(StoreRefused, match=r"this is a cluster: use redis\+cluster://"):
                await store.probe()
            connection = connect(node.url)
            with pytest.raises(StoreRefused, match=r"this is a cluster: use redis\+cluster://"):
                await Doctor(connection, Keys("presence")).check()
            await connection.close()
            outcomes = await asyncio.gather(
                *(store.stats(f"site-{n}") for n in range(20)), return_exceptions=True
            )
            refused = {str(each) for each in outcomes if isinstance(each, StoreError)}
            assert refused == {"this is a cluster: use redis+cluster://"}


@pytest.mark.fault("F25")
@pytest.mark.parametrize("first_slots", [0, 1, 9_000, 16_383])
@pytest.mark.parametrize("covers", ["yes", "no"])
async def test_a_node_of_a_cluster_that_is_down_is_not_taken_for_one_server(
    first_slots: int, covers: str, make_service: MakeService
) -> None:
    """Slots are missing: who asked for one server is told first that this is none."""
    told = "this is a cluster: use redis+cluster://"
    port = servers.free_port(with_bus=True)
    options = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", covers)
    with Server("valkey", *options, port=port) as node:
        if first_slots:
            node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, first_slots - 1)
        connection = connect(node.url)
        with pytest.raises(StoreRefused) as refusal:
            await Doctor(connection, Keys("presence")).check()
        assert str(refusal.value) == told
        await connection.close()
        service = await make_service(node.url)
        answer = await service.client.get("/readyz")
        assert (answer.status_code, answer.json()["detail"]) == (503, told)
        outcomes = await asyncio.gather(
            *(service.store.stats(f"site-{n}") for n in range(20)),
            *(service.store.heartbeat(f"site-{n}", beat()) for n in range(20)),
            return_exceptions=True,
        )
        assert {str(each) for each in outcomes if isinstance(each, StoreError)} <= {told}
        async with store_on(connect(f"redis+cluster://127.0.0.1:{port}")) as store:
            outcomes = await asyncio.gather(
                *(store.stats(f"site-{n}") for n in range(20)), return_exceptions=True
            )
            assert told not in {str(each) for each in outcomes}
            assert any(isinstance(each, StoreError) for each in outcomes) or first_slots == 16_383


@pytest.mark.fault("F25")
async def test_what_is_not_what_the_url_says_is_told(valkey: Server) -> None:
    async with store_on(connect(f"redis+cluster://127.0.0.1:{valkey.port}")) as store:
        with pytest.raises(StoreRefused, match="this is not a cluster: use redis://"):
            await store.probe()
    async with store_on(connect(f"redis+sentinel://127.0.0.1:{valkey.port}/web")) as store:
        with pytest.raises(StoreRefused, match="this is not a Sentinel"):
            await store.probe()
    async with store_on(connect(f"{valkey.url}/9999")) as store:
        with pytest.raises(StoreRefused, match="no database of that number"):
            await store.probe()


@pytest.mark.fault("F25")
async def test_a_sentinel_is_not_taken_for_redis() -> None:
    with servers.guarded() as guarded:
        async with store_on(connect(guarded.watchers[0].url)) as store:
            with pytest.raises(StoreRefused, match=r"this is a Sentinel: use redis\+sentinel://"):
                await store.probe()


async def test_one_node_that_is_a_whole_cluster_serves_as_one_server() -> None:
    with servers.cluster(nodes=1) as (node,):
        async with store_on(connect(node.url)) as store:
            await store.probe()


async def test_thousands_of_sites_beat_at_once_on_a_cluster(
    valkey_cluster: list[Server], key_prefix: str
) -> None:
    url = servers.cluster_url(valkey_cluster)
    store = patient_store(url, Keys(key_prefix), StoreConfig())
    outcomes = await asyncio.gather(
        *(store.heartbeat(f"site-{n}", beat()) for n in range(2_000)), return_exceptions=True
    )
    assert outcomes == ["created"] * 2_000
    await store.close()


@pytest.mark.parametrize("kind, watchers_ask", [("valkey", False), ("redis7", True)])
async def test_sentinel_and_failover(kind: str, watchers_ask: bool) -> None:
    with servers.guarded(kind, watchers_ask=watchers_ask) as guarded:
        await works(guarded.url)
        async with store_on(connect(guarded.url)) as store:
            assert await store.heartbeat("blog", beat()) == "created"
            guarded.primary.kill()
            with pytest.raises(StoreUnreachable):
                await store.heartbeat("blog", beat())
            await recovers(store, 30)
            assert guarded.replica.client.info("replication")["role"] == "master"


@pytest.mark.parametrize(
    "options",
    ["", "?sentinel_username=watcher&sentinel_password=other", "?sentinel_password=sesame"],
)
async def test_sentinels_that_refuse_us(options: str) -> None:
    with servers.guarded(watchers_ask=True) as guarded:
        async with store_on(connect(dataclasses.replace(guarded, options=options).url)) as store:
            with pytest.raises(StoreError) as refusal:
                await store.heartbeat("blog", beat())
        assert "sesame" not in str(refusal.value)
        assert str(refusal.value) == "Redis cannot be reached"


async def test_a_cluster_that_looks_like_one_server() -> None:
    """Behind a proxy, or of one node: no call may name keys of two slots, which is found out."""
    names = [f"site-{n}" for n in range(5)]
    port = servers.free_port(with_bus=True)
    with Server("valkey", "--cluster-enabled", "yes", port=port) as server:
        server.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        servers.wait_until(lambda: servers.knows_all(server, 1))
        async with store_on(connect(server.url)) as store:
            first = await asyncio.gather(
                *(store.heartbeat(name, beat()) for name in names), return_exceptions=True
            )
            is_told = "this is a cluster: use redis+cluster://"
            assert {str(each) for each in first} == {is_told}
            for name in names:
                assert await store.heartbeat(name, beat()) == "created"
            assert await counts(store, [*names, "unknown"]) == [1, 1, 1, 1, 1, 0]
        async with store_on(connect(server.url)) as store:
            assert await counts(store, [*names, "unknown"]) == [1, 1, 1, 1, 1, 0]


async def counts(store: PresenceStore, names: list[str]) -> list[int | None]:
    """How many are active on each site."""
    return [row.activeVisitors for row in (await store.sites(names)).sites]


async def test_wrong_password() -> None:
    with Server("valkey") as server:
        server.client.config_set("requirepass", "word")
        async with store_on(connect(f"redis://:other@127.0.0.1:{server.port}")) as store:
            with pytest.raises(StoreRefused, match="refuses our credentials"):
                await store.heartbeat("blog", beat())


async def answered_in_time(store: PresenceStore) -> None:
    """Each way to Redis fails within the deadline, all at once as well as alone."""
    ways: list[Callable[[], Awaitable[object]]] = [
        lambda: store.heartbeat("blog", beat()),
        lambda: store.leave("blog", str(uuid.uuid4())),
        lambda: store.stats("blog"),
        lambda: store.active("blog", "/"),
        lambda: store.probe(),
        lambda: store.heartbeat_and_count("blog", beat()),
        lambda: store.history("blog", "minutes", 30),
        lambda: store.sites(["blog", "shop"]),
        lambda: store.session("blog", str(uuid.uuid4())),
        lambda: store.sessions("blog", limit=10, cursor=None, path=None),
    ]
    started = time.monotonic()
    results = await asyncio.gather(*(way() for way in ways * 3), return_exceptions=True)
    taken = time.monotonic() - started
    assert all(isinstance(result, StoreError) for result in results), results
    assert taken < ANSWER_WITHIN_S


async def test_a_frozen_redis_is_answered_for_in_time() -> None:
    with Server("valkey") as server:
        async with store_on(connect(server.url)) as store:
            assert await store.heartbeat("blog", beat()) == "created"
            server.freeze()
            try:
                await answered_in_time(store)
                await answered_in_time(store)
            finally:
                server.thaw()
            await recovers(store)


async def test_a_redis_that_died_comes_back() -> None:
    with Server("valkey") as server:
        async with store_on(connect(server.url)) as store:
            assert await store.heartbeat("blog", beat()) == "created"
            server.kill()
            await answered_in_time(store)
            server.start()
            await recovers(store)
            assert (await store.active("blog")).activeVisitors >= 1


async def test_an_answer_made_of_several_is_in_time_too() -> None:
    """Each reply comes just before it would be too late; together they would be."""
    with Server("valkey") as server:

        async def delayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            to_server = await asyncio.open_connection("127.0.0.1", server.port)

            async def replies() -> None:
                while data := await to_server[0].read(65_536):
                    await asyncio.sleep(0.6)
                    writer.write(data)

            replying = asyncio.ensure_future(replies())
            with contextlib.suppress(OSError):
                while data := await reader.read(65_536):
                    to_server[1].write(data)
            replying.cancel()
            to_server[1].close()
            writer.close()

        proxy = await asyncio.start_server(delayed, "127.0.0.1", 0)
        port = proxy.sockets[0].getsockname()[1]
        async with store_on(connect(f"redis://127.0.0.1:{port}")) as store:
            for way in (
                lambda: store.history("blog", "minutes", 30),
                lambda: store.sites(["blog", "shop"]),
                lambda: store.session("blog", str(uuid.uuid4())),
                lambda: store.sessions("blog", limit=10, cursor=None, path=None),
                lambda: store.heartbeat_and_count("blog", beat()),
            ):
                started = time.monotonic()
                with contextlib.suppress(StoreError):
                    await way()
                assert time.monotonic() - started < ANSWER_WITHIN_S
        proxy.close()
