"""Sites whose number of shards the sites file says: they begin with it, and whoever changes it
later is not overruled."""

from pathlib import Path

import pytest

from service.ops.doctor import Doctor
from service.redis.client import connect
from service.store.keys import Keys
from service.store.layout import Layout
from service.store.writer import Heartbeat
from tests.conftest import Clock, MakeService, MakeStore
from tests.servers import Server

SESSIONS = [f"session-{n:010d}" for n in range(12)]


def on(path: str) -> list[Heartbeat]:
    return [Heartbeat(session, path, "", "", "") for session in SESSIONS]


async def test_a_new_site_has_no_other_shards(make_store: MakeStore) -> None:
    """What a site that holds nothing had before is not a part of it: nobody asks it for anything,
    neither with a read nor with a heartbeat."""
    clock = Clock()
    store = make_store(clock)
    store.layouts.first = {"blog": 4, "same": 1}
    await store.add_share("blog", "press", "digest")
    await store.agree_on_shards()
    assert store.keys.layouts.keys() == {"blog"}
    assert store.keys.layouts_of("blog").in_force == (Layout(1, 4, 0),)
    shards = store.keys.of_site("blog")
    assert len(shards) == 4
    assert all(0 < shard.asks_until_ms < int(clock()) for shard in shards)  # none is asked
    assert await store.share_digests("blog") == {"digest"}
    assert await store.heartbeats("blog", on("/a")) == ["created"] * 12
    stats, positions = await store.stats_and_positions("blog")
    assert (stats.activeVisitors, stats.totalPageViews, len(positions)) == (12, 12, 4)


async def test_a_site_that_has_visitors_is_split_anew(make_store: MakeStore) -> None:
    store = make_store(Clock())
    assert await store.heartbeats("blog", on("/a")) == ["created"] * 12
    store.layouts.first = {"blog": 4}
    await store.agree_on_shards()
    assert [layout.shards for layout in store.keys.layouts_of("blog").in_force] == [1, 4]
    assert await store.heartbeats("blog", on("/b")) == ["moved"] * 12
    assert (await store.active("blog")).activeVisitors == 12


async def test_the_number_that_somebody_chose_later_stands(make_store: MakeStore) -> None:
    """Also that of the first of two copies that are told different ones."""
    store, other, operator = make_store(Clock()), make_store(Clock()), make_store(Clock())
    store.layouts.first, other.layouts.first = {"blog": 4}, {"blog": 8}
    await store.agree_on_shards()
    await other.agree_on_shards()
    assert other.keys.layouts_of("blog").shards == 4
    await operator.layouts.change("blog", 1)
    for one in (store, other):
        await one.agree_on_shards()
        assert one.keys.layouts_of("blog").shards == 1


async def test_a_copy_that_has_not_heard_of_it_follows(make_store: MakeStore) -> None:
    """It may have an older sites file, or none."""
    store, unaware = make_store(Clock()), make_store(Clock())
    store.layouts.first = {"blog": 4}
    await store.agree_on_shards()
    assert await unaware.heartbeats("blog", on("/a")) == ["created"] * 12
    assert await store.heartbeats("blog", on("/a")) == ["duplicate"] * 12
    for one in (store, unaware):
        assert (await one.active("blog")).activeVisitors == 12


async def test_who_only_looks_changes_nothing(make_store: MakeStore) -> None:
    store = make_store(Clock())
    store.layouts.first = {"blog": 4}
    await store.agree_on_shards(may_note=False)
    assert not store.keys.layouts


@pytest.mark.parametrize("text, shards", [("shards = 3", 3), ("", 1)])
async def test_the_sites_file(
    make_service: MakeService,
    valkey: Server,
    key_prefix: str,
    tmp_path: Path,
    text: str,
    shards: int,
) -> None:
    file = tmp_path / "sites.toml"
    file.write_text(f'["blog"]\n{text}\n')
    service = await make_service(valkey.url, SITES_FILE=str(file))
    answer = await service.client.post(
        "/v1/sites/blog/heartbeat",
        json={"sessionId": SESSIONS[0], "currentPath": "/"},
    )
    assert answer.headers["presence-status"] == "created"
    assert len(service.store.keys.of_site("blog")) == shards
    tags = {
        key.partition("{")[2].partition("}")[0]
        for key in valkey.client.keys(f"{key_prefix}:{{*:active")
    }
    assert len(tags) == 1 + (shards > 1)  # the one that nobody can write to any more
    connection = connect(valkey.url)
    try:
        checkup = await Doctor(connection, Keys(key_prefix)).check()
        assert not checkup.findings
    finally:
        await connection.close()
