"""Connections that are refused, reset, or lead to what takes no writes any more."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import ConnectionError, ReadOnlyError, RedisError

from service.redis.client import connect
from service.redis.connection import Connection
from tests.servers import Server, wait_until


class Door:
    """Listens, counts who comes, and closes at once: what a Redis without room does."""

    def __init__(self) -> None:
        self.visits = 0

    async def open(self) -> asyncio.Server:
        """Any port."""
        return await asyncio.start_server(self._meet, "127.0.0.1", 0)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        writer.close()


async def test_a_server_that_lets_nobody_in_is_not_stormed() -> None:
    door = Door()
    server = await door.open()
    connection = connect(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    client: Any = connection.client
    asked = 0

    async def ask_on() -> None:
        nonlocal asked
        while asked < 2_000:
            asked += 1
            with pytest.raises(ConnectionError):
                await client.ping()
            await asyncio.sleep(0)

    started = asyncio.get_running_loop().time()
    await asyncio.gather(*(ask_on() for _ in range(10)))
    took = asyncio.get_running_loop().time() - started
    # redis-py tries each connect twice; ten came before anything was known.
    assert door.visits <= 2 * (10 + 1 + took / 0.1)
    server.close()
    await connection.close()


async def test_one_who_is_given_up_does_not_bar_the_way(valkey: Server) -> None:
    connection = connect(valkey.url)
    client: Any = connection.client
    task = asyncio.ensure_future(client.ping())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await client.ping()
    await connection.close()


@pytest.fixture
async def demoted() -> AsyncIterator[tuple[Connection, Server]]:
    """A client with connections in use and idle, to a server that has become a replica."""
    with Server("valkey") as server:
        connection = connect(server.url)
        client: Any = connection.client
        await asyncio.gather(*(client.ping() for _ in range(4)))
        assert connection.dedicated
        await connection.dedicated.execute_command("SET", "key", "1")
        server.client.execute_command("REPLICAOF", "127.0.0.1", "1")
        yield connection, server
        await connection.close()


async def test_after_readonly_every_connection_is_made_anew(
    demoted: tuple[Connection, Server],
) -> None:
    connection, server = demoted
    client: Any = connection.client

    def known() -> set[int]:
        return {int(row["id"]) for row in server.client.client_list(_type="normal")}

    mine = {server.client.client_id()}
    before = known() - mine
    with pytest.raises(ReadOnlyError):
        await client.set("key", "2")
    server.client.execute_command("REPLICAOF", "NO", "ONE")
    assert connection.dedicated
    await connection.dedicated.execute_command("SET", "key", "3")
    await asyncio.gather(*(client.ping() for _ in range(4)))
    wait_until(lambda: not (before & known()), what="the old connections' end")


async def test_readonly_does_not_lead_to_a_storm_of_connects(
    demoted: tuple[Connection, Server],
) -> None:
    connection, server = demoted
    client: Any = connection.client
    before = server.client.info("stats")["total_connections_received"]
    started = asyncio.get_running_loop().time()
    for _ in range(300):
        with pytest.raises(RedisError):
            await client.set("key", "2")
    took = asyncio.get_running_loop().time() - started
    made = server.client.info("stats")["total_connections_received"] - before
    assert made <= 6 * (1 + took)
