"""The cluster's client: redirections are followed on one connection, by the specification."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.crc import key_slot

from service.redis.client import connect
from service.redis.connection import Connection
from service.redis.failures import FAILURES, kind_of
from tests import servers
from tests.servers import Server, cluster_url, node_id, wait_until

SITE = "{blog}"
SLOT = key_slot(SITE.encode())


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[Server]]:
    """Two primaries, and a third node that has no slots yet."""
    with contextlib.ExitStack() as stack:
        pair = stack.enter_context(servers.cluster(nodes=2))
        port = servers.free_port(with_bus=True)
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1500")
        third = stack.enter_context(Server("valkey", *options, port=port))
        for node in pair:
            node.client.execute_command("CLUSTER", "MEET", "127.0.0.1", port)
        for node in (*pair, third):
            wait_until(lambda node=node: servers.knows_all(node, 3), what="acquaintance")  # type: ignore[misc]
        yield [*pair, third]


@pytest.fixture
async def connection(nodes: list[Server]) -> AsyncIterator[Connection]:
    for node in nodes[:2]:
        node.client.flushall()
    connection = connect(cluster_url(nodes[:2]), answer_within_s=30)
    yield connection
    await connection.close()


@contextlib.contextmanager
def on_the_move(nodes: list[Server], *keys: str) -> Iterator[tuple[Server, Server]]:
    """The slot of SITE on its way to the third node, with these keys there already."""
    source, target = nodes[SLOT // 8192], nodes[2]
    target.client.execute_command("CLUSTER", "SETSLOT", SLOT, "IMPORTING", node_id(source))
    source.client.execute_command("CLUSTER", "SETSLOT", SLOT, "MIGRATING", node_id(target))
    migrate(source, target, *keys)
    try:
        yield source, target
    finally:
        for node in (source, target):
            node.client.execute_command("CLUSTER", "SETSLOT", SLOT, "STABLE")
        target.client.flushall()


def migrate(source: Server, target: Server, *keys: str) -> None:
    """Moves keys."""
    if keys:
        source.client.execute_command(
            "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys
        )


async def test_asking_goes_before_its_own_command(
    nodes: list[Server], connection: Connection
) -> None:
    client: Any = connection.client
    names = [f"{SITE}:{n}" for n in range(40)]
    await asyncio.gather(*(client.set(name, name) for name in names))
    with on_the_move(nodes, *names[::2]):
        # Many at once, on many connections: half of the keys are on the other node.
        for _ in range(5):
            assert await asyncio.gather(*(client.get(name) for name in names)) == names
        pipeline = client.pipeline(transaction=False)
        for name in names:
            pipeline.get(name)
        assert await pipeline.execute() == names


async def test_a_call_waits_while_its_keys_are_on_both_sides(
    nodes: list[Server], connection: Connection
) -> None:
    client: Any = connection.client
    keys = [f"{SITE}:a", f"{SITE}:b"]
    for key in keys:
        await client.set(key, key)
    script = "return {redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])}"
    with on_the_move(nodes, keys[0]) as (source, target):
        asking = asyncio.create_task(client.execute_command("EVAL", script, 2, *keys))
        await asyncio.sleep(0.1)
        assert not asking.done()
        migrate(source, target, keys[1])
        assert await asking == keys


async def test_a_cluster_that_is_nowhere_is_a_failure_like_any_other() -> None:
    connection = connect("redis+cluster://127.0.0.1:1")
    client: Any = connection.client
    with pytest.raises(FAILURES) as caught:
        await client.get("key")
    assert kind_of(caught.value) == "connection"
    await connection.close()


async def test_connections_outlive_a_look_at_the_slots(
    nodes: list[Server], connection: Connection
) -> None:
    client: Any = connection.client
    names = [f"key-{n}" for n in range(20)]
    for name in names:
        await client.set(name, name)
    before = [_connects_of(node) for node in nodes[:2]]
    for _ in range(5):
        await client.nodes_manager.initialize()
        for name in names:
            assert await client.get(name) == name
    # Who was asked for the slots by name of the URL has a connection for that alone.
    after = [_connects_of(node) for node in nodes[:2]]
    more = [now - then for then, now in zip(before, after, strict=True)]
    assert max(more) <= 1, more


def _connects_of(node: Server) -> int:
    return int(node.client.info("stats")["total_connections_received"])
