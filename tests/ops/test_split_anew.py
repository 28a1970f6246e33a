"""A site that was split anew is well to the doctor, in all its shards, and is deleted with them."""

import asyncio
import json

import pytest
from click.testing import CliRunner

from service.cli import main
from service.ops.doctor import Doctor
from service.redis.client import connect
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.writer import Heartbeat, PageView
from tests.conftest import Clock, patient_store
from tests.servers import Server

SESSIONS = [f"session-{n:010d}" for n in range(40)]


def on(path: str, first: int, last: int) -> list[Heartbeat]:
    sources = json.dumps({"sources": "source example.org"})
    return [Heartbeat(id_, path, "DE", "", sources, "", True) for id_ in SESSIONS[first:last]]


@pytest.mark.parametrize("is_folded", [False, True])
async def test_doctor_and_delete_site(valkey: Server, key_prefix: str, *, is_folded: bool) -> None:
    """Some are in each layout's shards; some are leaving, ended, or have only viewed. Or all have
    gone who were in earlier ones, and what these have counted is folded."""
    store = patient_store(valkey.url, Keys(key_prefix), StoreConfig())
    store.clock = Clock(None)
    await store.agree_on_shards()
    await store.heartbeats("blog", on("/a", 0, 40))
    await store.layouts.change("blog", 4)
    await store.heartbeats("blog", on("/b", 0, 30))
    await store.leave("blog", SESSIONS[35])
    await store.leave("blog", SESSIONS[5])
    await store.layouts.change("blog", 3)
    await store.heartbeats("blog", on("/c", 10, 20))
    await store.view("blog", PageView("session-of-a-reader", "/d"))
    assert await store.end("blog", SESSIONS[36])
    assert await store.end("blog", SESSIONS[11])
    assert (await store.active("blog")).activeVisitors == 38
    if is_folded:
        for session in (*SESSIONS[:10], *SESSIONS[20:]):
            await store.end("blog", session)
        store.keys.carried_within_ms = store.folding.settle_s = 0
        assert (await store.folding.fold("blog")).shards == 5
    connection = connect(valkey.url)
    checkup = await Doctor(connection, Keys(key_prefix)).check()
    assert not checkup.findings
    await connection.close()
    await store.close()

    environ = {"PRESENCE_REDIS_URL": valkey.url, "PRESENCE_KEY_PREFIX": key_prefix}
    result = await asyncio.to_thread(
        CliRunner().invoke, main, ["delete-site", "blog", "--yes"], env=environ
    )
    assert result.exit_code == 0, result.output
    names = {key.removeprefix(f"{key_prefix}:") for key in valkey.client.keys(f"{key_prefix}:*")}
    assert names <= {"shards", "layouts", "due"}
    row = valkey.client.hgetall(f"{key_prefix}:layouts")["blog"]
    assert row.startswith("2:3:")
    assert " " not in row
