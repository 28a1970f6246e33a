"""A node of a cluster that is down touches only the sites that it holds."""

import asyncio
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis.crc import key_slot

from service.live.hub import Hub
from service.ops.metrics import Metrics
from service.redis.client import connect
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.store import PresenceStore
from service.store.sweeper import Sweeper
from service.store.writer import Heartbeat
from tests import servers
from tests.conftest import PATIENCE_S, MakeService, patient_store
from tests.servers import Server, cluster_url
from tests.store.test_sweeper import until

OPERATOR = {"Authorization": "Bearer operator"}
SESSION = "session-0000000001"
THIRD = 16_384 // 3
READS = [
    "active",
    "active?path=/",
    "stats",
    "history?minutes=5",
    "sessions",
    f"sessions/{SESSION}",
    "views",
    "views?format=ndjson",
    "events",
    "events?format=ndjson",
    "badge.svg",
]


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[Server]]:
    """Three primaries that nobody stands in for."""
    with servers.cluster() as made:
        yield made


def node_of(text: str) -> int:
    """Which of the three holds the slot of this tag or key."""
    return min(key_slot(text.encode()) // (THIRD + 1), 2)


def site_on(node: int) -> str:
    """A site that one of the three holds."""
    return next(name for n in range(100) if node_of(name := f"site-{n}") == node)


@pytest.fixture(params=["killed", "frozen"])
def down(request: pytest.FixtureRequest) -> str:
    """What happens to the node."""
    return str(request.param)


def take_down(node: Server, down: str) -> None:
    if down == "killed":
        node.kill()
    else:
        node.freeze()


def bring_up(node: Server, down: str, nodes: list[Server]) -> None:
    """Until all nodes agree that it is back."""
    if down == "killed":
        node.start()
    else:
        node.thaw()
    for other in nodes:
        servers.wait_until(partial(servers.knows_all, other, 3), what="the node is back")


@pytest.mark.parametrize("victim", [0, 1, 2])
async def test_the_sites_of_the_others_are_read_and_written(
    nodes: list[Server], make_service: MakeService, tmp_path: Path, victim: int, down: str
) -> None:
    sites = [site_on(n) for n in range(3)]
    file = tmp_path / "sites.toml"
    file.write_text("".join(f"[{site}]\n" for site in sites))
    service = await make_service(
        cluster_url(nodes), ADMIN_TOKEN="operator", SITES_FILE=str(file), SESSION_TIMEOUT="3600"
    )

    async def beat(site: str, session: str) -> int:
        body = {"sessionId": session, "currentPath": "/"}
        answer = await service.client.post(f"/v1/sites/{site}/heartbeat", json=body)
        return int(answer.status_code)

    async def read(path: str) -> int:
        return int((await service.client.get(path, headers=OPERATOR)).status_code)

    for site in sites:
        assert await beat(site, SESSION) == 204
    take_down(nodes[victim], down)
    try:
        for site in sites:
            expected = 503 if site == sites[victim] else 200
            found = {path: await read(f"/v1/sites/{site}/{path}") for path in READS}
            assert found == dict.fromkeys(READS, expected), site
            written = [await beat(site, f"session-{n:010d}") for n in range(2, 5)]
            assert written == [503 if expected == 503 else 204] * 3, site

        listed = await service.client.get("/v1/sites", headers=OPERATOR)
        assert listed.status_code == 200
        assert {row["site"]: row["activeVisitors"] for row in listed.json()["sites"]} == {
            site: None if n == victim else 4 for n, site in enumerate(sites)
        }
        text = (await service.client.get("/metrics")).text
        shown = dict(re.findall(r'presence_active_visitors\{site="([^"]+)"\} (\S+)', text))
        assert shown == {site: "4.0" for n, site in enumerate(sites) if n != victim}
    finally:
        bring_up(nodes[victim], down, nodes)


async def test_nobody_waits_for_the_node_of_the_due_list(
    nodes: list[Server], key_prefix: str
) -> None:
    """What is new on a site is noted for the sweeper behind the answer."""
    keys = Keys(key_prefix)
    store = patient_store(cluster_url(nodes), keys, StoreConfig())
    holder = node_of(keys.due)
    site = site_on((holder + 1) % 3)
    beats = [Heartbeat(f"session-{n:010d}", "/", "", "", "") for n in range(3)]
    assert await store.heartbeat(site, beats[0]) == "created"
    await store.end(site, beats[0].session_id)  # so that the next one opens the site again
    nodes[holder].freeze()
    try:
        async with asyncio.timeout(PATIENCE_S / 2):
            for beat in beats[1:]:
                assert await store.heartbeat(site, beat) == "created"
    finally:
        bring_up(nodes[holder], "frozen", nodes)
    claims, _ = await store.claim([], 1_000, 10)
    assert [claim.tag for claim in claims] == [site], "noted, once it could be"
    await store.close()


async def test_the_others_are_swept_and_told_live(
    nodes: list[Server], key_prefix: str, down: str
) -> None:
    """By the sweeper, with nobody reading; and to those who watch."""
    keys = Keys(key_prefix)
    victim = (node_of(keys.due) + 1) % 3
    store = PresenceStore(connect(cluster_url(nodes)), keys, StoreConfig(session_timeout_ms=1_000))
    sites = [site_on(n) for n in range(3)]
    others = [site for n, site in enumerate(sites) if n != victim]
    feed, sweeper = Hub(store, 0.05), Sweeper(store, Metrics())

    async def has_left(site: str) -> bool:
        """Whether that was logged last."""
        client: Any = nodes[sites.index(site)].client
        log = await asyncio.to_thread(client.xrevrange, keys.of_site(site)[0].events, count=1)
        return bool(log[0][1]["type"] == "left")

    for site in sites:
        assert await store.heartbeat(site, Heartbeat(SESSION, "/", "", "", "")) == "created"
    await store.claim([], 1_000, 0)  # all three are listed as due
    sweeping = asyncio.create_task(sweeper.run())
    take_down(nodes[victim], down)
    try:
        for site in others:
            await until(partial(has_left, site), PATIENCE_S / 2)
        with feed.subscribed(others[0]) as subscriber:
            await feed.catch_up(others[0], subscriber, None)
            told = await subscriber.take() or b""
            assert b'"activeVisitors":0' in told
            beat = Heartbeat("session-0000000002", "/again", "", "", "")
            assert await store.heartbeat(others[0], beat) == "created"
            async with asyncio.timeout(PATIENCE_S / 2):
                while b"/again" not in told:
                    told += await subscriber.take() or b""
                while b'"departures":1' not in told:
                    told += await subscriber.take() or b""
    finally:
        bring_up(nodes[victim], down, nodes)
    if down == "frozen":  # the killed one had nothing on disk
        await until(partial(has_left, sites[victim]), PATIENCE_S / 2)
    sweeper.stop()
    await sweeping
    await feed.settled()
    await store.close()
