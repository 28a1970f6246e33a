"""What reads only reads: a replica answers it, on which nothing can be written."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from service.errors import StoreRefused
from service.redis import scripts
from service.redis.client import connect
from service.redis.connection import Connection
from service.redis.scripts import LUA
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.store import PresenceStore
from service.store.writer import Heartbeat
from tests.conftest import Clock
from tests.servers import Server, wait_until

IDS = [f"session-{n:08d}" for n in range(40)]
PLACE = '{"latitude":"52.5","longitude":"13.4","city":"Berlin"}'
READS = (
    "changes", "count", "list", "sites", "snapshot", "user_pages", "users",
    "webhook_here",
)  # fmt: skip
RULES = StoreConfig()


@pytest.fixture(scope="module", params=["valkey", "redis7"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Server, Server]]:
    """A primary and its replica."""
    at_once = ("--repl-diskless-sync-delay", "0")
    with Server(request.param, *at_once) as primary, Server(request.param) as replica:
        replica.client.execute_command("REPLICAOF", "127.0.0.1", primary.port)
        wait_until(lambda: replica.client.info("replication")["master_link_status"] == "up")
        yield primary, replica


async def fill(store: PresenceStore, clock: Clock) -> None:
    """Some who have expired and are not swept, and some who are here."""
    beats = [Heartbeat(i, f"/{n % 3}", "DE", "", PLACE, f"user-{n}") for n, i in enumerate(IDS)]
    assert await store.heartbeats("blog", beats) == ["created"] * len(beats)
    clock.advance(RULES.session_timeout_ms)
    beats = [beat._replace(path="/here") for beat in beats[:10]]
    assert await store.heartbeats("blog", beats) == ["created"] * 10


def in_sync(primary: Server, replica: Server) -> None:
    """Waits until the replica has all that the primary has."""
    offset = primary.client.info("replication")["master_repl_offset"]
    wait_until(lambda: replica.client.info("replication")["slave_repl_offset"] >= offset)


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_replica_answers_all_that_is_read(pair: tuple[Server, Server], shards: int) -> None:
    primary, replica = pair
    primary.client.flushall()
    keys = Keys("presence", shards, has_users=lambda site: True)
    writer = PresenceStore(connect(primary.url), keys, RULES)
    reader = PresenceStore(connect(replica.url), keys, RULES)
    writer.clock = reader.clock = clock = Clock()
    try:
        nowhere = ["0-0"] * shards
        await fill(writer, clock)
        await asyncio.to_thread(in_sync, primary, replica)
        calls_before = replica.client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})

        assert (await reader.count("blog", "/here"))[:2] == (10, 10)
        assert await reader.count_users("blog") == 10
        assert (await reader.users("blog", limit=100, cursor=None, path="/here")).total == 10
        statuses = (await reader.user_statuses("blog", ["user-0", "user-39"])).statuses
        assert [status.online for status in statuses] == [True, False]
        stats, positions = await reader.stats_and_positions("blog")
        assert (stats.activeVisitors, stats.sweepBacklog, stats.totalPageViews) == (10, 0, 50)
        assert [(row.path, row.count) for row in stats.activeByPath] == [("/here", 10)]
        assert [(row.country, row.count) for row in stats.activeByCountry] == [("DE", 10)]
        assert [row.count for row in stats.visitorLocations] == [10]
        changes = await reader.changes("blog", nowhere)
        assert changes
        assert (changes.positions, changes.change.activeVisitors) == (positions, 10)
        assert await reader.on_pages("blog", ["/0", "/here"]) == {"/0": 0, "/here": 10}
        page = await reader.sessions("blog", limit=100, cursor=None, path=None)
        assert {row.sessionId for row in page.sessions} == set(IDS[:10])
        assert await reader.session("blog", IDS[0])
        assert [row.activeVisitors for row in (await reader.sites(["blog"])).sites] == [10]
        assert await reader.last_events("blog", positions)
        assert len((await reader.views("blog", after="0", limit=100)).views) == 50
        here = await reader.webhook_here("blog", "/here")
        assert (here.positions, here.active, here.on_page) == (positions, 40, 10)  # unswept, too
        told = (await reader.events("blog", after="", limit=1000)).events
        assert told[-9:] == (await reader.newest_events("blog", 9)).events
        assert {event.sessionId for event in told} == set(IDS)
        points = (await reader.history("blog", "minutes", 3)).points
        assert sum(point.views or 0 for point in points) == 50
        assert points[-1].peakActive == 10

        clock.advance(RULES.heartbeat_dedup_ms)
        with pytest.raises(StoreRefused, match="replica"):
            await reader.heartbeat("blog", Heartbeat(IDS[0], "/here", "", "", ""))
        with pytest.raises(StoreRefused, match="replica"):
            await reader.heartbeat("blog", Heartbeat(IDS[0], "/elsewhere", "", "", ""))
        # Only the two heartbeats were sent as what may write.
        calls = replica.client.info("commandstats")["cmdstat_evalsha"]["calls"]
        assert calls - calls_before["calls"] <= 2
    finally:
        await reader.close()
        await writer.close()


def test_there_are_no_other_scripts_that_read() -> None:
    writing = {
        "claim",
        "end",
        "erase_events",
        "erase_user",
        "heartbeat",
        "layout",
        "leave",
        "mark",
        "repair",
        "retire",
        "sweep",
        "view",
        "webhook_lease",
        "webhook_renew",
    }
    assert {script.stem for script in LUA.glob("*.lua")} == writing | set(READS)


async def test_a_server_without_it_is_asked_in_the_old_way_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[str] = []
    send = scripts._pipelined

    async def recorded(client: Any, commands: Sequence[scripts.Command]) -> list[Any]:
        sent.extend(str(command[0]) for command in commands)
        return await send(client, commands)

    monkeypatch.setattr(scripts, "_pipelined", recorded)
    connection: Connection = connect("memory://")
    for reads in (1, 2):  # each store finds out for itself
        store = PresenceStore(connection, Keys("presence"), StoreConfig())
        for _ in range(3):
            await store.stats("blog")
            await store.count("blog", "/")
            assert (await store.sites(["blog"])).sites
        assert sent.count("EVALSHA_RO") == reads
    sent.clear()
    store = PresenceStore(connection, Keys("presence"), StoreConfig())
    await store.sites(["blog"])
    await store.sites(["blog"])
    assert sent == ["EVALSHA_RO", "EVALSHA", "EVALSHA"]
    await connection.close()
