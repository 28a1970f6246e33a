"""Script calls packed in C say what redis-py's own packing says, on every topology."""

from typing import Any

import pytest
from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.cluster import RedisCluster

from service.redis.client import connect
from service.redis.hiredis_packing import with_hiredis_packing

CALLS: list[tuple[Any, ...]] = [
    ("EVALSHA", "0" * 40, 0),
    ("EVALSHA", "0" * 40, 2, "presence:{blog}:active", "a key with spaces", "", "/é", 17, -1),
    ("EVALSHA", "0" * 40, 1, "x" * 7000, "y" * 100_000, 2**62),
    ("EVAL", "return 'a text of a script\r\n'", 0, "\r\n", "\x00", "💯"),
    ("CONFIG GET", "save"),
    ("PING",),
    ("SET", "key", b"\xff", "PX", 5),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", [Connection, SSLConnection, UnixDomainSocketConnection])
def test_commands_are_packed_alike(call: tuple[Any, ...], kind: type[Any]) -> None:
    packed = with_hiredis_packing(kind)().pack_command(*call)
    assert b"".join(packed) == b"".join(kind().pack_command(*call))
    if call[0].startswith("EVAL"):
        assert len(packed) == 1, "one piece, one system call"


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:1",
        "rediss://127.0.0.1:1",
        "unix:///nowhere",
        "redis+sentinel://127.0.0.1:1/primary",
        "redis+cluster://127.0.0.1:1",
        "redis+cluster://127.0.0.1:1?ssl=true",
    ],
)
async def test_every_topology_packs_in_c(url: str) -> None:
    connection = connect(url)
    client: Any = connection.client
    if isinstance(client, RedisCluster):
        kind = client.nodes_manager.connection_kwargs["connection_class"]
    else:
        kind = client.connection_pool.connection_class
    assert kind.__name__.startswith("GuardedPacking")
    await connection.close()
