"""Ten thousand sites on one deployment: what is kept and told does not grow where it must not."""

import asyncio
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from service.ops.metrics import Metrics
from service.redis.client import connect
from service.redis.scripts import Call, Client, Command, run_mixed
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.store import PresenceStore
from service.store.sweeper import Sweeper
from service.store.writer import Heartbeat
from tests.conftest import Clock, MakeService, patient_store
from tests.servers import Server

pytestmark = pytest.mark.server

SITES = 10_000
BYTES_A_SITE = 12 * 1024  # of Redis, with one session on it


@pytest.fixture
def own_valkey() -> "Server":
    """A Valkey whose memory nobody else uses."""
    return Server("valkey")


async def test_ten_thousand_sites(own_valkey: Server, key_prefix: str) -> None:
    with own_valkey as server:
        store = patient_store(server.url, Keys(key_prefix), StoreConfig())
        clock = Clock()
        store.clock = clock
        before = int(server.client.info("memory")["used_memory"])
        names = [f"site-{n:05d}" for n in range(SITES)]
        for begin in range(0, SITES, 500):
            beats = (store.heartbeat(name, _beat()) for name in names[begin : begin + 500])
            assert set(await asyncio.gather(*beats)) == {"created"}
        metrics = Metrics()
        sweeper = Sweeper(store, metrics)
        await _until_listed(store, SITES)
        used = int(server.client.info("memory")["used_memory"]) - before
        assert used / SITES < BYTES_A_SITE

        listed: list[str] = []
        while page := await store.site_names(listed[-1] if listed else "", 1000):
            counted = await store.sites(page)
            assert all(row.activeVisitors == 1 for row in counted.sites)
            listed += page
        assert listed == names

        # All of them time out in the same moment, and each is swept once.
        clock.advance(120_000)
        settled = await sweeper._round([])
        while settled:
            settled = await sweeper._round(settled)
        counted = await store.sites(names[:1000])
        assert all(row.activeVisitors == 0 for row in counted.sites)
        assert metrics.swept._value.get() == SITES
        ends = [server.client.xlen(f"{key_prefix}:{{{name}}}:events") for name in names[::100]]
        assert set(ends) == {2}, "joined, and left once"
        assert server.client.zcard(store.keys.due) == 0
        assert "site-0" not in metrics.render().decode(), "no label for a site nobody configured"
        await store.close()


def _beat() -> Heartbeat:
    return Heartbeat("session-0000000001", "/", "DE", "", "")


async def _until_listed(store: PresenceStore, sites: int) -> None:
    """What was opened is entered into the list of due sites behind the heartbeats."""
    async with asyncio.timeout(60):
        while await store.connection.client.zcard(store.keys.due) < sites:
            await store.claim([], 6_000, 0)


async def test_ten_thousand_sites_over_a_dead_redis_keep_nothing(key_prefix: str) -> None:
    """Sites that cannot be written leave nothing behind in the service."""
    store = PresenceStore(connect("redis://127.0.0.1:1"), Keys(key_prefix), StoreConfig())
    for begin in range(0, 2_000, 500):
        beats = (store.heartbeat(f"s{n}", _beat()) for n in range(begin, begin + 500))
        answers = await asyncio.gather(*beats, return_exceptions=True)
        assert all(isinstance(answer, Exception) for answer in answers)
    due = store._due
    assert (store.batcher.waiting, len(due._waiting), len(due._entered_at)) == (0, 0, 0)
    await store.close()


async def test_a_scrape_of_ten_thousand_configured_sites(
    make_service: MakeService, valkey: Server, tmp_path: Path
) -> None:
    """Every gauge is right, no connection is waited for in vain, and the calls are few."""
    names = [f"site-{n:05d}" for n in range(SITES)]
    file = tmp_path / "sites.toml"
    file.write_text("".join(f"[{name}]\n" for name in names))
    service = await make_service(valkey.url, SITES_FILE=str(file))
    busy = names[::1000]
    for name in busy:
        assert await service.store.heartbeat(name, _beat()) == "created"
    calls: list[int] = []

    async def counting(client: Client, some: Sequence[Call | Command]) -> list[Any]:
        calls.append(len(some))
        return await run_mixed(client, some)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.store.runner.run_mixed", counting)
        text = (await service.client.get("/metrics")).text
    shown = dict(re.findall(r'presence_active_visitors\{site="([^"]+)"\} (\S+)', text))
    assert shown == {name: "1.0" if name in busy else "0.0" for name in names}
    assert not re.search(r"presence_redis_errors_total\{.*\} [1-9]", text)
    assert calls == [10] * 10, "a hundred sites in a call, ten calls at once"


@pytest.mark.parametrize("ends", ["fails", "is cancelled"])
async def test_what_could_not_be_listed_is_kept(key_prefix: str, ends: str) -> None:
    """With the earliest moment of each, whatever was noted meanwhile."""
    store = PresenceStore(connect("redis://127.0.0.1:1"), Keys(key_prefix), StoreConfig())
    store._due.enter_by("early", 1)
    store._due.enter_by("late", 9)
    store._due.note("new", False, 5, time.monotonic())
    entering = asyncio.create_task(store._due._write())
    await asyncio.sleep(0)
    assert not store._due._waiting
    store._due.enter_by("early", 3)
    store._due.enter_by("late", 3)
    store._due.enter_by("new", 7)
    store._due.note("other", False, 8, time.monotonic())
    if ends == "is cancelled":
        entering.cancel()
    await asyncio.wait((entering,))
    assert store._due._waiting == {
        "early": ("LT", 1), "late": ("LT", 3), "new": ("LT", 7), "other": ("NX", 8)
    }  # fmt: skip
    await store.close()
