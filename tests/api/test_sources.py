"""How visitors came: what a heartbeat says of it, over HTTP, and what is counted."""

import json
from typing import Any

import pytest

from service.api.devices import device_of
from service.api.requests.source_texts import clean_source_text
from tests.conftest import Clock, MakeService, Service

SITE = "/v1/sites/blog"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.5 Safari"
ANDROID = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/130.0.0.0 {}Safari/537.36"
DEVICES = {
    "iPhone": ({"user-agent": IPHONE}, "phone"),
    "Mac": ({"user-agent": MAC}, "desktop"),
    "iPad of before": ({"user-agent": IPHONE.replace("iPhone", "iPad", 1)}, "tablet"),
    "Android phone": ({"user-agent": ANDROID.format("Mobile ")}, "phone"),
    "Android tablet": ({"user-agent": ANDROID.format("")}, "tablet"),
    "Firefox tablet": ({"user-agent": "Mozilla/5.0 (Android 13; Tablet; rv:130.0)"}, "tablet"),
    "Fire tablet": ({"user-agent": "Mozilla/5.0 (X11; Linux) Silk/44.1 like Chrome/44"}, "tablet"),
    "hint of a phone": ({"user-agent": "Mozilla/5.0 (X11)", "sec-ch-ua-mobile": "?1"}, "phone"),
    "hint of none": ({"user-agent": "Mozilla/5.0 (X11)", "sec-ch-ua-mobile": "?0"}, "desktop"),
    "only a hint": ({"sec-ch-ua-mobile": "?1"}, "phone"),
    "television": ({"user-agent": ANDROID.format("BRAVIA 4K ")}, "desktop"),
    "nothing": ({}, "--"),
    "no text": ({"user-agent": "\xff\x00"}, "desktop"),
}
TEXTS = {
    "Spring Sale": "Spring Sale",
    "  two \t\n words ": "two words",
    "a\u202eb\x00c": "abc",
    "x" * 100: "x" * 64,
    "Ko\u0308ln": "K\u00f6ln",
    "": "",
    " ": "",
}
# What a page says of its source, and what that counts as; null: directly.
SOURCES = {
    "News.Example.org": "news.example.org",
    "www.example.org": "example.org",
    "https://www.google.com/search?q=a": "google.com",
    "Newsletter": "newsletter",
    "": None,
    "shop.example": None,  # its own host
    "www.shop.example": None,
    "https://shop.example/a": None,
    "blog.shop.example": None,  # below its own
    "workshop.example": "workshop.example",
    "example": "example",  # a name, not the domain that its own is below
    "checkout.stripe.com": None,
    "buy.stripe.com": None,
    "www.paypal.com": None,
    "stripe.com": "stripe.com",
    "notpaypal.com": "notpaypal.com",
    "__other__": "__other__",
    "--": None,
}


@pytest.mark.parametrize("name", DEVICES)
def test_the_device_by_what_a_browser_says(name: str) -> None:
    headers, device = DEVICES[name]
    raw = {key.encode(): value.encode("latin-1") for key, value in headers.items()}
    assert device_of(raw) == device


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_kept_as_far_as_it_can_be(text: str) -> None:
    assert clean_source_text(text) == TEXTS[text]


async def send(service: Service, n: int, **said: Any) -> None:
    """A heartbeat of a page of https://shop.example, on an iPhone."""
    beat = {"sessionId": f"session-{n:08d}", "currentPath": "/"} | said
    headers = {"Origin": "https://shop.example", "User-Agent": IPHONE}
    answer = await service.client.post(f"{SITE}/heartbeat", json=beat, headers=headers)
    assert answer.status_code == 204, answer.text


async def read(service: Service, what: str) -> Any:
    answer = await service.client.get(f"{SITE}/{what}")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("source", SOURCES)
async def test_what_is_a_source(make_service: MakeService, source: str) -> None:
    service = await make_service()
    await send(service, 1, source=source)
    stats = await read(service, "stats")
    assert stats["activeBySource"] == [{"source": SOURCES[source], "count": 1}]
    assert stats["activeByDevice"] == [{"device": "phone", "count": 1}]
    assert (stats["activeByMedium"], stats["activeByCampaign"]) == ([], [])


async def test_configured_origins_are_no_sources(make_service: MakeService, tmp_path: Any) -> None:
    sites = tmp_path / "sites.toml"
    sites.write_text('[blog]\norigins = ["https://shop.example", "https://*.own.example"]\n')
    service = await make_service(SITES_FILE=str(sites))
    for n, source in enumerate(("www.shop.example", "a.own.example", "grown.example")):
        await send(service, n, source=source)
    stats = await read(service, "stats")
    assert stats["activeBySource"] == [
        {"source": None, "count": 2}, {"source": "grown.example", "count": 1},
    ]  # fmt: skip


async def test_the_domain_that_the_own_host_is_below_is_no_source(
    make_service: MakeService,
) -> None:
    service = await make_service()
    for n, source in enumerate(("example.org", "https://www.example.org/", "other.example.org")):
        beat = {"sessionId": f"session-{n:08d}", "currentPath": "/", "source": source}
        headers = {"Origin": "https://shop.example.org", "User-Agent": IPHONE}
        await service.client.post(f"{SITE}/heartbeat", json=beat, headers=headers)
    stats = await read(service, "stats")
    assert stats["activeBySource"] == [
        {"source": None, "count": 2}, {"source": "other.example.org", "count": 1},
    ]  # fmt: skip


@pytest.mark.parametrize("shards", ["1", "3"])
async def test_it_is_counted_while_they_are_here_and_by_day(
    make_service: MakeService, backend_url: str, shards: str
) -> None:
    service = await make_service(backend_url, SHARDS=shards)
    service.store.clock = clock = Clock()
    for n in range(4):
        await send(service, n, source="example.org", medium="Email", campaign="Spring Sale")
    await send(service, 4, source="")
    await send(service, 5)  # does not say
    now = {
        "activeBySource": [{"source": "example.org", "count": 4}, {"source": None, "count": 1}],
        "activeByMedium": [{"medium": "email", "count": 4}],
        "activeByCampaign": [{"campaign": "Spring Sale", "count": 4}],
        "activeByDevice": [{"device": "phone", "count": 5}],
    }
    stats = await read(service, "stats")
    assert {name: stats[name] for name in now} == now
    assert (stats["activeVisitors"], stats["visitorLocations"]) == (6, [])
    # Whoever moves, or says something else later, came as they came.
    await send(service, 0, currentPath="/b", source="other.example")
    stats = await read(service, "stats")
    assert {name: stats[name] for name in now} == now
    today = await read(service, "sources")
    assert today["sources"] == now["activeBySource"]
    assert today["devices"] == now["activeByDevice"]
    assert (today["mediums"], today["campaigns"]) == (
        now["activeByMedium"],
        now["activeByCampaign"],
    )
    clock.advance(120_000)  # gone, and not swept
    stats = await read(service, "stats")
    assert "activeBySource" not in stats or stats["activeBySource"] == []
    clock.advance(86_400_000)
    assert (await read(service, "sources"))["sources"] == []
    assert (await read(service, "sources?days=2"))["sources"] == today["sources"]


async def test_a_batch_says_it_too(make_service: MakeService) -> None:
    service = await make_service()
    said: list[dict[str, Any]] = [
        {"source": "app", "device": "tablet"},
        {"source": "app"},
        {"device": "phone"},  # counts with a source only
        {},
        {"source": "x", "device": "fridge"},
        {"source": 1},
    ]
    beats = [
        {"sessionId": f"session-{n:08d}", "currentPath": "/", **more} for n, more in enumerate(said)
    ]
    answer = await service.client.post(f"{SITE}/heartbeats", json={"heartbeats": beats})
    assert answer.json()["results"] == ["created"] * 4 + ["invalid"] * 2
    stats = await read(service, "stats")
    assert stats["activeBySource"] == [{"source": "app", "count": 2}]
    assert stats["activeByDevice"] == [
        {"device": None, "count": 1}, {"device": "tablet", "count": 1},
    ]  # fmt: skip


async def test_a_site_that_does_not_say_is_told_nothing_of_it(make_service: MakeService) -> None:
    service = await make_service()
    await send(service, 1, medium="email", campaign="spring")  # without a source it says nothing
    stats = await read(service, "stats")
    assert not [name for name in stats if name.startswith(("activeBySource", "activeByDevice"))]
    nothing = {"sources": [], "mediums": [], "campaigns": [], "devices": [], "days": 1}
    assert nothing.items() <= (await read(service, "sources")).items()


async def test_a_member_that_is_there_twice_is_refused(make_service: MakeService) -> None:
    service = await make_service()
    body = '{"sessionId":"session-00000001","currentPath":"/","source":"a","source":"b"}'
    answer = await service.client.post(f"{SITE}/heartbeat", content=body)
    assert (answer.status_code, answer.json()["field"]) == (422, "source")
    assert json.loads(body)["source"] == "b"


async def test_only_the_first_50_are_listed(make_service: MakeService) -> None:
    service = await make_service()
    for n in range(60):
        await send(service, n, source=f"site-{n:02d}.example")
    rows = (await read(service, "stats"))["activeBySource"]
    assert len(rows) == 51
    assert rows[-1] == {"source": "__other__", "count": 10}
