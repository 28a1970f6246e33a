"""PUBLIC_PATH and SCRIPT_NAME: all that is public is below the path as well, by the same rules."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.public_path import _NOT_PUBLIC
from service.api.routes import API_ROUTES
from service.app import ROUTES
from tests.conftest import MakeService, Service

SETTINGS = {"PUBLIC_PATH": "/_p", "SCRIPT_NAME": "here.js", "ADMIN_TOKEN": "operator"}
ADMIN = {"Authorization": "Bearer operator"}
BEAT = {"sessionId": "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e", "currentPath": "/a"}
BEAT_PATH = "/v1/sites/blog/heartbeat"
NOT_THERE = (
    "/livez", "/readyz", "/metrics", "/v1/sites", "/v1/sites/blog/sessions",
    "/v1/sites/blog/sessions/5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e", "/v1/sites/blog/views",
    "/v1/sites/blog/events", "/v1/sites/blog/webhooks", "/v1/sites/blog/shares",
)  # fmt: skip
VALUES = {
    "site": "blog", "session_id": BEAT["sessionId"], "user_id": "anna", "name": "wall",
    "part": "live", "version": "0", "name:path": "theme.css",
}  # fmt: skip
READ = sorted(
    re.sub(r"\{([^}]+)\}", lambda found: VALUES[found[1]], route.path)
    for route in ROUTES
    if "GET" in (route.methods or ()) and not route.path.endswith("/live")
)


def shown(answer: httpx.Response) -> tuple[int, dict[str, str], str]:
    """What an answer says, but for what differs from one to the next."""
    changing = ("x-request-id", "etag", "content-length")
    headers = {name: value for name, value in answer.headers.items() if name not in changing}
    text = re.sub(r'"(asOf|since)":\d+', "", answer.text)
    for address in ("127.0.0.1:8080", '"url":"/'):
        text = text.replace(f"{address}/_p".replace("//", "/"), address)
    return answer.status_code, headers, text


@pytest.mark.parametrize("path", READ)
async def test_what_is_read_is_the_same_below_it(make_service: MakeService, path: str) -> None:
    service = await make_service(**SETTINGS)
    await service.client.post(BEAT_PATH, json=BEAT)
    headers = ADMIN | {"Accept": "text/html", "Origin": "https://example.org"}
    below = await service.client.get("/_p" + path, headers=headers)
    if path in NOT_THERE:
        assert below.status_code == 404
        return
    beside = await service.client.get(path, headers=headers)
    assert shown(below) == shown(beside)
    assert (below.status_code == 404) == ("/users" in path)  # the site has none


WRITES: list[tuple[str, str, dict[str, Any], int]] = [
    ("POST", "/heartbeat", BEAT, 204),
    ("POST", "/heartbeat?counts=1", BEAT, 200),
    ("POST", "/heartbeats", {"heartbeats": [BEAT]}, 200),
    ("POST", "/leave", {"sessionId": BEAT["sessionId"]}, 204),
    ("POST", "/views", {"sessionId": BEAT["sessionId"], "path": "/a"}, 204),
    ("DELETE", f"/sessions/{BEAT['sessionId']}", {}, 404),
    ("OPTIONS", "/heartbeat", {}, 204),
    ("OPTIONS", "/leave", {}, 204),
    ("PUT", "/heartbeat", {}, 405),
]


@pytest.mark.parametrize("method, path, body, status", WRITES)
async def test_what_is_written_is_too(
    make_service: MakeService, method: str, path: str, body: dict[str, Any], status: int
) -> None:
    service = await make_service(**SETTINGS)
    headers = ADMIN | {
        "Origin": "https://example.org", "Access-Control-Request-Method": "POST",
    }  # fmt: skip
    if method == "DELETE":
        await service.client.post(BEAT_PATH, json=BEAT)
    answer = await service.client.request(
        method, f"/_p/v1/sites/blog{path}", content=json.dumps(body), headers=headers
    )
    assert answer.status_code == status, answer.text
    if method not in ("DELETE", "PUT"):
        assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    "path, status",
    [
        ("/_p", 404),
        ("/_p/", 200),
        ("/_p/_p/", 404),
        ("/_px/", 404),
        ("/_pv1/sites/blog/stats", 404),
        ("/%5Fp/v1/sites/blog/stats", 404),
        ("/_P/v1/sites/blog/stats", 404),
        ("/_p//v1/sites/blog/stats", 404),
        ("/x/_p/v1/sites/blog/stats", 404),
        ("/_p/metrics", 404),
        ("/_p/%6Detrics", 404),
        ("/_p/v1/sites/blog/%73essions", 404),
        ("/_p/here.js", 200),
        ("/_p/here-live.js", 200),
        ("/_p/here-faces.js", 200),
        ("/_p/here-none.js", 404),
        ("/_p/hereafter.js", 404),
        ("/here.js", 200),
        ("/presence.js", 200),
    ],
)
async def test_where_it_begins_and_ends(make_service: MakeService, path: str, status: int) -> None:
    service = await make_service(**SETTINGS)
    answer = await service.client.get(path)
    assert answer.status_code == status


@pytest.mark.parametrize("path", ["/_p/", "/_p/v1/sites/blog/stats", "/here.js", "/_p"])
async def test_without_the_settings_it_is_not_there(make_service: MakeService, path: str) -> None:
    service = await make_service()
    assert (await service.client.get(path)).status_code == 404


async def test_a_page_that_is_not_there_leads_back(make_service: MakeService) -> None:
    service = await make_service(**SETTINGS)
    page = await service.client.get("/_p/no/such", headers={"Accept": "text/html"})
    (root,) = re.findall(r'href="([^"]*)">Getting started', page.text)
    assert page.url.join(root).path == "/_p/"


@pytest.mark.parametrize("below", ["", "/_p"])
@pytest.mark.parametrize("path", ["/", "/sites/blog", "/docs"])
async def test_snippets_have_the_address_they_are_read_at_and_the_name(
    make_service: MakeService, below: str, path: str
) -> None:
    service = await make_service(**SETTINGS)
    page = (await service.client.get(below + path, headers={"Host": "example.org"})).text
    assert f"http://example.org{below}/v1/sites/" in page or path == "/sites/blog"
    assert ("http://example.org/_p" in page) == bool(below)
    assert ("http://example.org/v1" in page) == (not below and path != "/sites/blog")
    if path != "/docs":
        assert f'src="http://example.org{below}/here.js"' in page
        assert "presence.js" not in page


async def test_the_document_says_where_the_service_is(make_service: MakeService) -> None:
    service = await make_service(**SETTINGS)
    for path, url in (("/_p/openapi.json", "/_p"), ("/openapi.json", "/")):
        document = (await service.client.get(path)).json()
        assert [server["url"] for server in document["servers"]] == [url]


@pytest.mark.parametrize("name", ["p.js", "pre.js", "presenc.js", "here.js", "presence.js"])
async def test_another_name_takes_none_away(make_service: MakeService, name: str) -> None:
    service = await make_service(SCRIPT_NAME=name)
    stem = name.removesuffix(".js")
    for part in (".js", "-live.js", "-source.js"):
        for called in (f"/presence{part}", f"/{stem}{part}"):
            assert (await service.client.get(called)).status_code == 200, called


def test_proxies_hide_the_same() -> None:
    """What is not below the path is what deploy/nginx.conf hides; there, from all but operators."""
    conf = (Path(__file__).parents[2] / "deploy" / "nginx.conf").read_text()
    hidden = [re.compile(one) for one in re.findall(r'^ +"~(.*)" 1;$', conf, re.MULTILINE)]
    assert hidden
    for route in API_ROUTES:
        path = re.sub(r"\{([^}]+)\}", lambda found: VALUES[found[1]], route.path)
        for method in sorted(route.methods or {"GET"}):
            by_proxy = any(one.search(f"{method} {path}") for one in hidden)
            by_path = _NOT_PUBLIC.fullmatch(f"{method} {path}") is not None
            assert by_proxy == (by_path and path != "/livez"), (method, path)


@pytest.mark.parametrize("name", ["here.js", "here-source.js"])
async def test_the_script_loads_its_part_by_its_own_name(
    make_service: MakeService, name: str
) -> None:
    service = await make_service(**SETTINGS)
    named, own = [
        await service.client.get(path)
        for path in (f"/_p/{name}", "/" + name.replace("here", "presence"))
    ]
    assert named.text == own.text.replace("presence-live.js", "here-live.js") != own.text
    assert "presence-live" not in named.text
    assert named.headers["etag"] != own.headers["etag"]
    assert named.headers["access-control-allow-origin"] == "*"
    again = await service.client.get(
        f"/_p/{name}", headers={"If-None-Match": named.headers["etag"]}
    )
    assert again.status_code == 304


async def outcome(service: Service, path: str, **headers: str) -> tuple[int, str]:
    """Status and outcome of a heartbeat."""
    answer = await service.client.post(f"/_p{path}", json=BEAT, headers=headers)
    told = answer.headers.get("presence-dropped") or answer.headers.get("presence-status", "")
    return answer.status_code, told


@pytest.mark.parametrize("path", [BEAT_PATH, BEAT_PATH + "?x=1"])
async def test_who_is_not_counted_is_not_below_it(make_service: MakeService, path: str) -> None:
    service = await make_service(**SETTINGS, RESPECT_DNT="true")
    for headers, reason in (
        ({"DNT": "1"}, "dnt"),
        ({"Sec-GPC": "1"}, "dnt"),
        ({"User-Agent": "Googlebot/2.1"}, "bot"),
        ({"Sec-Purpose": "prefetch"}, "prefetch"),
    ):
        assert await outcome(service, path, **headers) == (204, reason)
    assert await outcome(service, path) == (204, "created")


async def test_origins_and_limits_hold_below_it(make_service: MakeService, tmp_path: Any) -> None:
    (tmp_path / "sites.toml").write_text('[blog]\norigins = ["https://example.org"]\n')
    service = await make_service(
        **SETTINGS, SITES_FILE=str(tmp_path / "sites.toml"), NEW_SESSIONS_PER_MINUTE="1"
    )
    assert (await outcome(service, BEAT_PATH, Origin="https://example.com"))[0] == 403
    assert await outcome(service, BEAT_PATH, Origin="https://example.org") == (204, "created")
    other = BEAT | {"sessionId": "another-session-0"}
    limited = await service.client.post(
        f"/_p{BEAT_PATH}", json=other, headers={"Origin": "https://example.org"}
    )
    assert limited.status_code == 429


async def test_metrics_name_routes_without_it(make_service: MakeService) -> None:
    service = await make_service(**SETTINGS)
    await service.client.get("/_p/v1/sites/blog/active")
    text = (await service.client.get("/metrics")).text
    assert 'route="/v1/sites/{site}/active"' in text
    assert not [route for route in re.findall(r'route="([^"]*)"', text) if "_p" in route]
