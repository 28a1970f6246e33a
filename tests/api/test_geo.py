"""Where a client is, by the headers of each network."""

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from service.api.geo import NOWHERE, Place, place_of
from tests.conftest import MakeService

KOLN = Place("DE", "Köln", 50.9, 6.9)


def netlify(value: Any) -> dict[bytes, bytes]:
    return {b"x-nf-geo": base64.b64encode(json.dumps(value).encode())}


def headers(prefix: str, country: str, city: str) -> dict[bytes, bytes]:
    return {
        f"{prefix}{country}".encode(): b"DE",
        f"{prefix}{city}".encode(): quote("Köln").encode(),
        f"{prefix}latitude".encode(): b"50.9",
        f"{prefix}longitude".encode(): b"6.9",
    }


SOURCES = {
    "cloudflare": {
        b"cf-ipcountry": b"DE",
        b"cf-ipcity": "Köln".encode(),
        b"cf-iplatitude": b"50.9",
        b"cf-iplongitude": b"6.9",
    },
    "vercel": headers("x-vercel-ip-", "country", "city"),
    "cloudfront": headers("cloudfront-viewer-", "country", "city"),
    "netlify": netlify(
        {"city": "Köln", "country": {"code": "DE"}, "latitude": 50.9, "longitude": 6.9}
    ),
}


@pytest.mark.parametrize("source", SOURCES)
def test_each_source(source: str) -> None:
    assert place_of(SOURCES[source], source) == KOLN


@pytest.mark.parametrize("source", SOURCES)
def test_no_source_believes_another(source: str) -> None:
    everything = {
        k: v for name, table in SOURCES.items() if name != source for k, v in table.items()
    }
    assert place_of(everything, source) == NOWHERE
    assert place_of(everything, "none") == NOWHERE


@pytest.mark.parametrize(
    "country, city, latitude, expected",
    [
        (b"de", b"", b"", Place("DE")),
        (b"XX", b"", b"", NOWHERE),
        (b"T1", b"", b"", NOWHERE),
        (b"A1", b"", b"", NOWHERE),
        (b"zz", b"", b"", NOWHERE),
        (b"EU", b"", b"", NOWHERE),
        (b"DEU", b"", b"", NOWHERE),
        (b"\xc3\x84", b"", b"", NOWHERE),
        (b"", b"a" * 65, b"", NOWHERE),
        (b"", b"a%00b", b"", NOWHERE),
        (b"", b"a%0ab", b"", NOWHERE),
        (b"", b"\xff", b"", NOWHERE),
        (b"", b"", b"90", Place(latitude=90)),
        (b"", b"", b"90.1", NOWHERE),
        (b"", b"", b"nan", NOWHERE),
        (b"", b"", b"inf", NOWHERE),
        (b"", b"", b"north", NOWHERE),
    ],
)
def test_what_is_not_well_formed_is_not_known(
    country: bytes, city: bytes, latitude: bytes, expected: Place
) -> None:
    given = {b"cf-ipcountry": country, b"cf-ipcity": city, b"cf-iplatitude": latitude}
    assert place_of(given, "cloudflare") == expected


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"!",
        b"abc",
        base64.b64encode(b"[]"),
        base64.b64encode(b"null"),
        base64.b64encode(b"{}"),
        base64.b64encode(b'{"country": null}'),
        base64.b64encode(b'{"country": {"code": null}}'),
        base64.b64encode(b'{"country": {"code": "\\ud800"}}'),
        base64.b64encode(b'{"country": {"code": "DE"}, "city": "\xff"}'),
        base64.b64encode(b"[" * 20_000),
        base64.b64encode(b'{"a":' * 10_000),
    ],
)
def test_a_broken_netlify_header_is_nowhere(raw: bytes) -> None:
    assert place_of({b"x-nf-geo": raw}, "netlify") == NOWHERE


@pytest.mark.parametrize("source", SOURCES)
async def test_it_shows_in_the_numbers(make_service: MakeService, source: str) -> None:
    service = await make_service(GEO_HEADERS=source)
    beat = {"sessionId": "a" * 16, "currentPath": "/"}
    sent = list(SOURCES[source].items())
    answer = await service.client.post("/v1/sites/blog/heartbeat", json=beat, headers=sent)
    assert answer.headers["presence-status"] == "created"
    told = beat | {"sessionId": "b" * 16, "country": "fr", "latitude": 48.86, "longitude": 2.36}
    await service.client.post("/v1/sites/blog/heartbeat", json=told, headers=sent)
    stats = (await service.client.get("/v1/sites/blog/stats")).json()
    assert {row["country"]: row["count"] for row in stats["activeByCountry"]} == {"DE": 1, "FR": 1}
    places = {(row["latitude"], row["longitude"]): row for row in stats["visitorLocations"]}
    assert set(places) == {(50.9, 6.9), (48.9, 2.4)}
    assert places[50.9, 6.9]["city"] == "Köln"


NO_COUNTRY = [
    *("T1", "A1", "A2", "O1", "XX", "ZZ", "EU", "AP", "xx", "t1"),
    *(None, "", "-", "--", "?", "??", "**"),
    *("unknown", "Unknown", "UNKNOWN", "none", "null", "undefined", "N/A"),
]


@pytest.mark.fault("B31")
@pytest.mark.parametrize("code", NO_COUNTRY)
@pytest.mark.parametrize("endpoint", ["heartbeat", "heartbeats"])
async def test_no_country_is_understood_in_bodies(
    make_service: MakeService, code: str | None, endpoint: str
) -> None:
    service = await make_service(GEO_HEADERS="cloudflare")
    beat = {"sessionId": "a" * 16, "currentPath": "/", "country": code}
    body = beat if endpoint == "heartbeat" else {"heartbeats": [beat]}
    answer = await service.client.post(f"/v1/sites/blog/{endpoint}", json=body)
    assert answer.status_code in (200, 204)
    assert endpoint == "heartbeat" or answer.json() == {"results": ["created"], "errors": []}
    stats = (await service.client.get("/v1/sites/blog/stats")).json()
    assert stats["activeByCountry"] == [{"country": None, "count": 1}]


@pytest.mark.fault("B31")
@pytest.mark.parametrize("code", NO_COUNTRY)
def test_no_country_is_understood_in_headers(code: str | None) -> None:
    assert place_of({b"cf-ipcountry": (code or "").encode()}, "cloudflare") == NOWHERE


async def test_where_a_body_knows_no_country_the_header_counts(make_service: MakeService) -> None:
    service = await make_service(GEO_HEADERS="cloudflare")
    beat = {"sessionId": "a" * 16, "currentPath": "/", "country": "XX"}
    headers = {"CF-IPCountry": "DE"}
    await service.client.post("/v1/sites/blog/heartbeat", json=beat, headers=headers)
    stats = (await service.client.get("/v1/sites/blog/stats")).json()
    assert stats["activeByCountry"] == [{"country": "DE", "count": 1}]
