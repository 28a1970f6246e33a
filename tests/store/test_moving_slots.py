"""While a slot of a cluster is being moved its calls wait, others do not, and all are answered."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.crc import key_slot

from service.errors import StoreError
from service.redis.client import connect
from service.redis.cluster import Cluster
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.store import PresenceStore
from service.store.writer import Heartbeat, PageView
from tests import servers
from tests.conftest import patient_store
from tests.servers import Server, cluster_url, node_id

SITE, SLOT = "blog", key_slot(b"blog")
SESSIONS = [f"session-{n:010}" for n in range(3)]
NEIGHBOUR = next(
    site
    for site in (f"site-{n}" for n in range(100))
    if key_slot(site.encode()) // 8192 == SLOT // 8192
)


def beat(session: str, path: str = "/") -> Heartbeat:
    return Heartbeat(session, path, "", "", "")


@pytest.fixture(scope="module", params=["valkey", "redis7"])
def nodes(request: pytest.FixtureRequest) -> Iterator[list[Server]]:
    with servers.cluster(request.param, nodes=2) as made:
        yield made


@pytest.fixture
def ends(nodes: list[Server]) -> Iterator[list[Server]]:
    """Where the slot is, and where it moves to."""
    for node in nodes:
        node.client.flushall()
    yield [nodes[SLOT // 8192], nodes[1 - SLOT // 8192]]
    for node in nodes:
        node.client.flushall()
        node.client.execute_command("CLUSTER", "SETSLOT", SLOT, "STABLE")
    home = node_id(nodes[SLOT // 8192])
    for node in (nodes[SLOT // 8192], nodes[1 - SLOT // 8192]):
        node.client.execute_command("CLUSTER", "SETSLOT", SLOT, "NODE", home)


@pytest.fixture
async def store(nodes: list[Server]) -> AsyncIterator[PresenceStore]:
    store = patient_store(cluster_url(nodes), Keys("presence"), StoreConfig())
    yield store
    await store.close()


def begin(source: Server, target: Server) -> None:
    """The move begins, and half of the keys are there."""
    target.client.execute_command("CLUSTER", "SETSLOT", SLOT, "IMPORTING", node_id(source))
    source.client.execute_command("CLUSTER", "SETSLOT", SLOT, "MIGRATING", node_id(target))
    keys = source.client.execute_command("CLUSTER", "GETKEYSINSLOT", SLOT, 1000)
    migrate(source, target, keys[::2])


def end(source: Server, target: Server) -> None:
    migrate(source, target, source.client.execute_command("CLUSTER", "GETKEYSINSLOT", SLOT, 1000))
    for node in (target, source):
        node.client.execute_command("CLUSTER", "SETSLOT", SLOT, "NODE", node_id(target))


def migrate(source: Server, target: Server, keys: list[str]) -> None:
    source.client.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)


async def test_whoever_writes_waits_for_the_end_and_nobody_else_does(
    ends: list[Server], store: PresenceStore
) -> None:
    old, other, new = SESSIONS
    await store.heartbeats(SITE, [beat(old), beat(other)])
    begin(*ends)
    waiting = [
        asyncio.create_task(call)
        for call in (
            store.heartbeat(SITE, beat(old, "/moved")),
            store.heartbeat(SITE, beat(new)),
            store.leave(SITE, other),
            store.view(SITE, PageView(old, "/seen")),
        )
    ]
    client: Any = store.connection.client
    assert isinstance(client, Cluster)
    while not client.is_moving(SLOT):  # noqa: ASYNC110  # found out by the first answer
        await asyncio.sleep(0.001)
    waiting.append(asyncio.create_task(store.heartbeat(SITE, beat(old, "/later"))))
    for n in range(20):
        assert await store.heartbeat(NEIGHBOUR, beat(SESSIONS[0], f"/{n}")) in ("created", "moved")
    assert not any(task.done() for task in waiting)
    end(*ends)
    assert await asyncio.gather(*waiting) == ["moved", "created", "leaving", "recorded", "moved"]
    assert store.batcher.waiting == 0


async def test_whoever_has_waited_in_vain_is_told_why(
    ends: list[Server], nodes: list[Server]
) -> None:
    store = PresenceStore(
        connect(cluster_url(nodes)), Keys("presence"), StoreConfig(), deadline_s=0.2
    )
    await store.heartbeat(SITE, beat(SESSIONS[0]))
    begin(*ends)
    begun_s = asyncio.get_running_loop().time()
    with pytest.raises(StoreError, match="is being moved"):
        await store.heartbeat(SITE, beat(SESSIONS[0], "/moved"))
    assert asyncio.get_running_loop().time() - begun_s >= 0.2
    with contextlib.suppress(StoreError):
        await store.close()
