"""`memory://`: what keeping compiled scripts must not change."""

import pytest
from redis.exceptions import ResponseError

from service.redis import memory
from service.redis.client import connect

COUNT = "return redis.call('INCR', KEYS[1])"


async def run(text: str, *keys: str) -> object:
    """The reply of a script on a server of its own."""
    connection = connect("memory://")
    try:
        return await connection.client.eval(text, len(keys), *keys)
    finally:
        await connection.client.aclose()


async def test_a_script_is_compiled_once_and_run_each_time() -> None:
    memory._bytecode.cache_clear()
    connection = connect("memory://")
    for n in range(3):
        assert await connection.client.eval(COUNT, 1, "a") == n + 1
    sha = await connection.client.script_load(COUNT)
    assert await connection.client.evalsha(sha, 1, "b") == 1
    assert memory._bytecode.cache_info().misses == 2  # and the line that collects Lua's garbage
    await connection.client.aclose()


async def test_each_server_has_keys_of_its_own() -> None:
    assert [await run(COUNT, "a") for _ in range(2)] == [1, 1]


async def test_no_run_sees_what_the_one_before_kept() -> None:
    connection = connect("memory://")
    text = "local kept = {}\nkept[1] = (kept[1] or 0) + 1\nreturn kept[1]"
    for _ in range(2):
        assert await connection.client.eval(text, 0) == 1
    await connection.client.aclose()


@pytest.mark.parametrize(
    "text, says",
    [
        ("no Lua", "'=' expected near 'Lua'"),
        ("local a = nil\nreturn a.b", ":2: attempt to index local 'a'"),
        ("left = 1\nreturn redis.call('GET', 'a')", "global variables: left"),
        ("redis.call('GET', 'a')\nleft = 1", "global variables: left"),
        ("return redis.error_reply('WRONG word')", "WRONG word"),
    ],
)
async def test_what_is_wrong_is_told(text: str, says: str) -> None:
    for _ in range(2):
        with pytest.raises(ResponseError, match=says):
            await run(text)
