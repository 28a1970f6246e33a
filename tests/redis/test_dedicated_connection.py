"""The connection kept for batches: replies in order, and none is ever another's."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import ConnectionError, NoScriptError, RedisError, ResponseError

from service.redis.client import connect
from service.redis.connection import Connection
from service.redis.dedicated_connection import DedicatedConnection
from tests.conftest import url_of
from tests.servers import Server, free_port


@pytest.fixture(params=["valkey", "redis7"])
async def connection(request: pytest.FixtureRequest) -> AsyncIterator[Connection]:
    connection = connect(url_of(request, request.param))
    yield connection
    await connection.close()


@pytest.fixture
def dedicated(connection: Connection) -> DedicatedConnection:
    assert isinstance(connection.dedicated, DedicatedConnection)
    return connection.dedicated


async def test_replies_stand_in_order_and_errors_for_their_replies(
    dedicated: DedicatedConnection,
) -> None:
    replies = await dedicated.replies(
        [("ECHO", "a"), ("EVALSHA", "0" * 40, 0), ("NONSENSE",), ("EVAL", "return {1, 'b'}", 0)]
    )
    assert replies[0] == "a"
    assert isinstance(replies[1], NoScriptError)
    assert isinstance(replies[2], ResponseError)
    assert replies[3] == [1, "b"]


async def test_an_error_of_one_command_is_raised(dedicated: DedicatedConnection) -> None:
    with pytest.raises(NoScriptError):
        await dedicated.execute_command("EVALSHA", "0" * 40, 0)
    assert await dedicated.execute_command("ECHO", "still here") == "still here"


async def test_a_lost_connection_is_opened_again(
    dedicated: DedicatedConnection, connection: Connection
) -> None:
    client: Any = connection.client
    for _ in range(3):
        number = await dedicated.execute_command("CLIENT", "ID")
        await client.client_kill_filter(_id=number)
        assert await dedicated.replies([("ECHO", "a"), ("ECHO", "b")]) == ["a", "b"]


async def test_what_is_given_up_is_never_taken_for_anothers_reply(
    dedicated: DedicatedConnection,
) -> None:
    for number in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await dedicated.replies([("BLPOP", "nothing", 0)])
        assert await dedicated.execute_command("ECHO", f"{number}") == f"{number}"


async def test_one_caller_at_a_time(dedicated: DedicatedConnection) -> None:
    first = asyncio.create_task(dedicated.replies([("BLPOP", "nothing", 0)]))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError):
        await dedicated.replies([("PING",)])
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await dedicated.execute_command("PING") in ("PONG", True)


async def test_a_server_that_comes_back() -> None:
    port = free_port()
    connection = connect(f"redis://127.0.0.1:{port}")
    dedicated = connection.dedicated
    assert dedicated
    with pytest.raises(ConnectionError):
        await dedicated.execute_command("PING")
    for _ in range(2):
        with Server("valkey", port=port) as server:
            assert await dedicated.execute_command("ECHO", "a") == "a"
            server.kill()
            with pytest.raises((RedisError, OSError)):
                await dedicated.execute_command("ECHO", "b")
    await connection.close()
