"""`presence shards`: one site is split anew, and what earlier shards have counted is folded."""

import asyncio

import pytest

from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.layout import SiteLayouts
from service.store.writer import Heartbeat, PageView
from tests.cli.commands import Finished, run_command
from tests.conftest import patient_store
from tests.servers import Server

SESSION = "session-00000001"


@pytest.fixture
def environ(valkey: Server, key_prefix: str) -> dict[str, str]:
    return {"PRESENCE_REDIS_URL": valkey.url, "PRESENCE_KEY_PREFIX": key_prefix}


def test_a_site_is_split_and_folded(
    environ: dict[str, str], valkey: Server, key_prefix: str
) -> None:
    def shards(*args: str) -> Finished:
        return run_command("shards", "blog", *args, environ=environ)

    def make_older(by_ms: int) -> None:
        registry = f"{key_prefix}:layouts"
        known = SiteLayouts.parse(valkey.client.hget(registry, "blog"))
        older = [layout._replace(since_ms=layout.since_ms - by_ms) for layout in known.in_force]
        valkey.client.hset(registry, "blog", str(known._replace(in_force=tuple(older))))

    async def view(path: str) -> None:
        store = patient_store(valkey.url, Keys(key_prefix), StoreConfig())
        await store.layouts.learn()
        assert await store.view("blog", PageView(SESSION, path)) == "recorded"
        await store.close()

    assert shards().stdout == "blog: 1 shard\n"
    assert shards("--compact").stdout == "blog: 1 shard\n"
    asyncio.run(view("/a"))
    assert shards("4").stdout == "blog: 4 shards; before: 1\n"
    asyncio.run(view("/b"))
    too_early = shards("--compact")
    assert (too_early.exit_code, too_early.stdout) == (1, "blog: 4 shards; before: 1\n")
    assert "may still be on their way from the shards before" in too_early.stderr
    make_older(86_400_000)
    assert shards("3").stdout == "blog: 3 shards; before: 4, 1\n"
    assert shards("--compact").stdout == "blog: 3 shards; before: 4; folded into one: 1\n"
    assert "earlier" not in run_command("doctor", environ=environ).stdout
    make_older(86_400_000)
    assert (
        "blog: is read from 4 earlier shards as well; `presence shards blog --compact` folds what "
        "they have counted\n" in run_command("doctor", environ=environ).stdout
    )
    folded = shards("--compact")
    assert (folded.exit_code, folded.stdout) == (0, "blog: 3 shards; folded into one: 4, 1\n")
    assert shards().stdout == folded.stdout
    assert "2 page views since" in run_command("stats", "blog", environ=environ).stdout
    doctor = run_command("doctor", environ=environ)
    assert (doctor.exit_code, "earlier" in doctor.stdout) == (0, False)


def test_somebody_is_there_still(environ: dict[str, str], valkey: Server, key_prefix: str) -> None:
    async def come(site: str, sessions: list[str]) -> None:
        store = patient_store(valkey.url, Keys(key_prefix), StoreConfig())
        await store.heartbeats(site, [Heartbeat(one, "/a", "", "", "") for one in sessions])
        await store.close()

    sessions = [f"session-{n:08d}" for n in range(2)]
    told = {1: "1 session of the shards before is there", 2: "2 sessions of the shards before are"}
    for number, line in told.items():
        site = f"blog-{number}"
        asyncio.run(come(site, sessions[:number]))
        run_command("shards", site, "2", environ=environ)
        valkey.client.hset(f"{key_prefix}:layouts", site, "1:2:17 0:1:0")
        refused = run_command("shards", site, "--compact", environ=environ)
        assert (refused.exit_code, refused.stdout) == (1, f"{site}: 2 shards; before: 1\n")
        assert line in refused.stderr


def test_either_a_number_or_compact(environ: dict[str, str]) -> None:
    refused = run_command("shards", "blog", "4", "--compact", environ=environ)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "either N or --compact" in refused.stderr
