"""`presence serve --demo`: a site to walk around in, and visitors who come, move on and leave."""

import re
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.settings import Settings
from service.sites import DEMO_SITE
from service.web.demo_document import PATH, Colleagues
from service.web.demo_steps import TICK_S
from service.web.demo_visitors import PAGES, VISITORS, Visitors
from tests.conftest import Clock, MakeStore
from tests.invariants import check


async def test_visitors_come_and_go(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock)
    visitors = Visitors(store, interval_s=30, seed=1)
    begun_ms = clock.now_ms or 0
    counts = []
    for _ in range(round(600 / TICK_S)):
        clock.advance(round(TICK_S * 1000))
        await visitors.step(((clock.now_ms or 0) - begun_ms) / 1000)
        counts.append((await store.active(DEMO_SITE)).activeVisitors)
    assert min(counts) > VISITORS / 3
    assert max(counts) < VISITORS * 3
    stats, positions = await store.stats_and_positions(DEMO_SITE)
    assert stats.uniqueVisitors > VISITORS
    assert {row.country for row in stats.activeByCountry} > {None}
    assert stats.visitorLocations
    assert {row.source for row in stats.activeBySource or ()} > {None}
    assert stats.activeByDevice
    assert {row.pageType for row in stats.pageStats} > {"article", "product"}
    kinds = {happening.type for happening in await store.last_events(DEMO_SITE, positions)}
    assert "moved" in kinds
    await check(store, DEMO_SITE, clock.now_ms or 0)


def test_visitors_walk_about_in_what_there_is() -> None:
    shop = Path(__file__).parents[2] / "client" / "demo" / "shop.js"
    assert set(PAGES) == set(re.findall(r'^  "(/demo[^"]*)": {', shop.read_text(), re.MULTILINE))


async def test_colleagues_open_a_document_and_leave_it(make_store: MakeStore) -> None:
    clock = Clock()
    store = make_store(clock, has_users=True)
    colleagues = Colleagues(store, interval_s=30, seed=1)
    begun_ms = clock.now_ms or 0
    counts = set()
    for _ in range(round(300 / TICK_S)):
        clock.advance(round(TICK_S * 1000))
        await colleagues.step(((clock.now_ms or 0) - begun_ms) / 1000)
        counts.add(await store.count_users(DEMO_SITE, PATH))
    assert len(counts) > 3
    page = await store.users(DEMO_SITE, limit=100, cursor=None, path=PATH)
    assert all(row.name and row.sessions == 1 for row in page.users)
    await check(store, DEMO_SITE, clock.now_ms or 0)


@pytest.mark.parametrize(
    "path, status, begins, media_type",
    [
        ("/demo", 200, "<!doctype html>", "text/html"),
        ("/demo/", 200, "<!doctype html>", "text/html"),
        ("/demo/tea/sencha", 200, "<!doctype html>", "text/html"),
        ("/demo/document", 200, "<!doctype html>", "text/html"),
        ("/demo/document.js", 200, "import", "text/javascript"),
        ("/demo/token", 422, "{", "application/problem+json"),
        ("/demo/token?guest=0123456789ABCDEF", 422, "{", "application/problem+json"),
        ("/demo/token?guest=0123456789abcdef", 200, "eyJ", "text/plain"),
        ("/demo/demo.js", 200, "//", "text/javascript"),
        ("/demo/shop.js", 200, "//", "text/javascript"),
        ("/demo/demo.css", 200, "*", "text/css"),
        ("/demo/other.js", 404, "{", "application/problem+json"),
        ("/demo/../settings.py", 404, "{", "application/problem+json"),
    ],
)
async def test_the_site(path: str, status: int, begins: str, media_type: str) -> None:
    settings = Settings.from_env({"PRESENCE_REDIS_URL": "memory://"})
    for demo in (True, False):
        transport = httpx.ASGITransport(create_app(settings, demo=demo))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = await client.get(path)
        if not demo:
            assert answer.status_code == 404
            continue
        assert answer.status_code == status
        assert answer.text.startswith(begins)
        assert answer.headers["content-type"].startswith(media_type)
        assert "unsafe" not in answer.headers.get("content-security-policy", "")
