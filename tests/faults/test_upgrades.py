"""A rolling deploy: copies whose scripts differ work on one Redis, and neither fails nor harms."""

import asyncio
import random
import shutil
from pathlib import Path

import httpx
import pytest

from service.ops.doctor import Doctor
from service.redis.client import connect
from service.store.keys import Keys
from tests.browser.site import running
from tests.servers import Server

ROOT = Path(__file__).parents[2]
SESSIONS, ROUNDS = 30, 12
LONG = {"SESSION_TIMEOUT": "60", "HEARTBEAT_INTERVAL": "10", "HEARTBEAT_DEDUP": "0.01"}


def another_release(folder: Path) -> Path:
    """The service with scripts of another text, and so of other SHA1s."""
    for part in ("service", "lua"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for script in (folder / "lua").glob("*.lua"):
        script.write_text(script.read_text() + "-- of another release\n")
    return folder


@pytest.mark.parametrize("server", ["valkey", "redis7"])
async def test_two_releases_on_one_redis(
    request: pytest.FixtureRequest, server: str, key_prefix: str, tmp_path: Path
) -> None:
    redis: Server = request.getfixturevalue(server)
    settings = LONG | {"KEY_PREFIX": key_prefix}
    (tmp_path / "old").mkdir()
    new_folder = another_release(tmp_path / "new")
    chance = random.Random(7)
    with (
        running(tmp_path / "old", redis.url, **settings) as old,
        running(new_folder, redis.url, **settings) as new,
    ):
        async with (
            httpx.AsyncClient(base_url=old.url, timeout=20) as to_old,
            httpx.AsyncClient(base_url=new.url, timeout=20) as to_new,
        ):

            async def live(number: int) -> str:
                """One session that is answered now by the one, now by the other."""
                path = ""
                for _ in range(ROUNDS):
                    path = f"/{chance.randrange(9)}"
                    beat = {"sessionId": f"{number:032d}", "currentPath": path}
                    client = chance.choice((to_old, to_new))
                    answer = await client.post("/v1/sites/blog/heartbeat", json=beat)
                    assert answer.status_code == 204, answer.text
                return path

            async def forget_scripts() -> None:
                for _ in range(20):
                    await asyncio.to_thread(redis.client.script_flush)
                    await asyncio.sleep(0.02)

            *paths, _ = await asyncio.gather(*map(live, range(SESSIONS)), forget_scripts())
            expected = {f"{path}": paths.count(path) for path in set(paths)}
            for client in (to_old, to_new):
                stats = (await client.get("/v1/sites/blog/stats")).json()
                assert stats["activeVisitors"] == SESSIONS
                assert {row["path"]: row["count"] for row in stats["activeByPath"]} == expected
                assert stats["uniqueVisitors"] == SESSIONS
        for service in (old, new):
            assert '"level": "error"' not in service.log
    connection = connect(redis.url)
    try:
        assert not (await Doctor(connection, Keys(key_prefix)).check("blog")).findings
    finally:
        await connection.close()
