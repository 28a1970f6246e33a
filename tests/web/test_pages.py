"""The pages and the files they load, as HTTP: headers, policies, caching, and what is refused."""

import gzip
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.settings import Settings
from service.web import assets, messages
from service.web.assets import load_assets
from tests.conftest import MakeService
from tests.servers import missing

ROOT = Path(__file__).parents[2]
VERSION = assets.assets().version
SITES = """
["example.org"]
origins = ["https://www.example.org", "https://example.org"]
["secret"]
public = false
token = "open-sesame"
"""


@pytest.fixture
def sites(tmp_path: Path) -> str:
    """A sites file."""
    path = tmp_path / "sites.toml"
    path.write_text(SITES)
    return str(path)


class _Outline(HTMLParser):
    """What a page loads and links to, and what is inline."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: set[str] = set()
        self.links: set[str] = set()
        self.inline: list[str] = []
        self._within = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within = tag
        for name, value in attrs:
            if name in ("src", "srcset") or (name == "href" and tag == "link"):
                self.loads.add(value or "")
            elif name == "href":
                self.links.add(value or "")
            elif name.startswith("on") or name in ("style", "action", "formaction"):
                self.inline.append(f"{tag} {name}")

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within in ("script", "style") and data.strip():
            self.inline.append(data)


PAGES = ["/", "/sites/blog", "/sites/blog?wall", "/sites/blog?embed", "/sites/blog?pill"]
STRICT = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
}


def policy_of(header: str) -> dict[str, str]:
    """A Content-Security-Policy by directive."""
    parts = (part.strip().partition(" ") for part in header.split(";"))
    return {name: value for name, _, value in parts}


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_loads_from_here_only_and_has_nothing_inline(
    make_service: MakeService, path: str
) -> None:
    service = await make_service()
    page = await service.client.get(path)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    assert page.headers["x-content-type-options"] == "nosniff"
    policy = policy_of(page.headers["content-security-policy"])
    ancestors = policy.pop("frame-ancestors")
    assert policy == STRICT
    assert ancestors == ("*" if re.search("embed|pill", path) else "'none'")

    outline = _Outline(page.text)
    assert outline.inline == []
    assert len(outline.loads) >= 4
    for address in outline.loads:
        file = await service.client.get(str(page.url.join(address)))
        assert file.status_code == 200, address
        assert "immutable" in file.headers["cache-control"], address
    # Relative, so that all of it holds below a proxy's prefix.
    assert not [link for link in outline.loads | outline.links if re.match(r"/|\w+:", link)]
    for link in outline.links:
        assert (await service.client.get(str(page.url.join(link)))).status_code == 200, link


# path, with sites configured? -> status, and who may frame it
@pytest.mark.parametrize(
    "path, is_configured, status, framers",
    [
        ("/sites/blog", False, 200, "'none'"),
        ("/sites/blog?embed", False, 200, "*"),
        ("/sites/blog?embed=1", False, 200, "*"),
        ("/sites/blog?pill", False, 200, "*"),
        ("/sites/example.org?pill", True, 200, "https://example.org https://www.example.org"),
        ("/sites/secret?pill", True, 200, "*"),
        ("/sites/example.org", True, 200, "'none'"),
        ("/sites/example.org?wall", True, 200, "'none'"),
        ("/sites/example.org?embed", True, 200, "https://example.org https://www.example.org"),
        ("/sites/secret", True, 200, "'none'"),
        ("/sites/secret?embed", True, 200, "*"),
        ("/sites/blog", True, 200, "'none'"),  # not there: as a private one
        ("/sites/blog?embed", True, 200, "*"),
    ],
)
async def test_who_may_see_and_frame_it(
    make_service: MakeService, sites: str, path: str, is_configured: bool, status: int, framers: str
) -> None:
    service = await make_service(**({"SITES_FILE": sites} if is_configured else {}))
    page = await service.client.get(path, headers={"Accept": "text/html,*/*"})
    assert page.status_code == status
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert policy_of(page.headers["content-security-policy"]) == STRICT | {
        "frame-ancestors": framers
    }
    again = await service.client.get(path, headers={"If-None-Match": "*"})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "site", ["A", "-a", "a" * 64, "a_b", "%3Cscript%3E", "blog%0A", "..%5C", "%22%3E", "caf%C3%A9"]
)
async def test_a_bad_site_id_is_refused(make_service: MakeService, site: str) -> None:
    answer = await (await make_service()).client.get(f"/sites/{site}")
    assert answer.status_code == 422
    assert answer.json()["field"] == "site"


@pytest.mark.parametrize(
    "mode, query", [("page", ""), ("wall", "?wall"), ("wall", "?wall=1"), ("embed", "?embed&wall")]
)
async def test_the_mode_is_in_the_page(make_service: MakeService, mode: str, query: str) -> None:
    page = (await (await make_service()).client.get(f"/sites/blog{query}")).text
    assert f'data-mode="{mode}"' in page


async def test_a_page_shows_the_tag_for_this_very_address(make_service: MakeService) -> None:
    service = await make_service(HEARTBEAT_INTERVAL="12.5")
    headers = {"Host": "presence.example.org"}
    stats = (await service.client.get("/sites/blog", headers=headers)).text
    tag = 'src="http://presence.example.org/presence.js" data-site="{}"'
    assert tag.format("blog") in stats
    start = (await service.client.get("/", headers=headers)).text
    assert tag.format("demo") in start
    assert "every 12.5 seconds" in start
    assert "curl -i http://presence.example.org/v1/sites/demo/heartbeat" in start


async def test_the_start_page_begins_with_the_site_of_the_terminal(
    make_service: MakeService,
) -> None:
    page = (await (await make_service()).client.get("/")).text
    assert 'value="demo"' in page
    assert not {"demo/", "sites/demo"} <= _Outline(page).links


async def test_the_start_page_keeps_the_names_of_sites_to_itself(
    make_service: MakeService, sites: str
) -> None:
    page = (await (await make_service(SITES_FILE=sites)).client.get("/")).text
    assert 'value=""' in page
    assert 'data-site="your-site"' in page
    assert "secret" not in page


async def test_the_start_page_leads_to_the_demo() -> None:
    app = create_app(Settings.from_env({"PRESENCE_REDIS_URL": "memory://"}), demo=True)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8080"
    ) as client:
        page = await client.get("/")
        assert {"demo/", "sites/demo"} <= _Outline(page.text).links
        assert 'value="demo"' in page.text
        for link in ("demo/", "sites/demo"):
            assert (await client.get(f"/{link}")).status_code == 200


STATS = f"/static/{VERSION}/stats.js"
SCRIPT = "text/javascript; charset=utf-8"
ACCENT_IS_KEPT = "public, max-age=86400"


# path, headers -> status, headers
@pytest.mark.parametrize(
    "path, sent, status, expected",
    [
        (STATS, {}, 200, {"content-type": SCRIPT}),
        (STATS, {}, 200, {"cache-control": "public, max-age=31536000, immutable"}),
        (STATS, {}, 200, {"vary": "Accept-Encoding", "content-encoding": None}),
        (STATS, {"Accept-Encoding": "gzip"}, 200, {"content-encoding": "gzip"}),
        (STATS, {"Accept-Encoding": "br, gzip;q=0.5"}, 200, {"content-encoding": "gzip"}),
        (STATS, {"Accept-Encoding": "*"}, 200, {"content-encoding": "gzip"}),
        (STATS, {"Accept-Encoding": "gzip;q=0"}, 200, {"content-encoding": None}),
        (STATS, {"Accept-Encoding": "*, gzip;q=0"}, 200, {"content-encoding": None}),
        (STATS, {"Accept-Encoding": "gzip;q=x"}, 200, {"content-encoding": None}),
        (STATS, {"Accept-Encoding": "br"}, 200, {"content-encoding": None}),
        ("/static/0123/stats.js", {}, 200, {"cache-control": "no-cache"}),
        (f"/static/{VERSION}/stats.css", {}, 200, {"content-type": "text/css; charset=utf-8"}),
        (f"/static/{VERSION}/world.svg", {}, 200, {"content-type": "image/svg+xml"}),
        (f"/static/{VERSION}/de/stats.js", {}, 200, {"vary": "Accept-Encoding"}),
        (f"/static/{VERSION}/de/world.svg", {}, 200, {"content-type": "image/svg+xml"}),
        (f"/static/{VERSION}/de/accent/f0c.css", {}, 200, {"cache-control": ACCENT_IS_KEPT}),
        (
            f"/static/{VERSION}/de/texts.js",
            {},
            200,
            {"content-type": "text/javascript; charset=utf-8"},
        ),
        ("/static/0123/de/texts.js", {}, 200, {"cache-control": "no-cache"}),
        (f"/static/{VERSION}/texts.js", {}, 404, {}),
        (f"/static/{VERSION}/xx/texts.js", {}, 404, {}),
        (f"/static/{VERSION}/de/de/stats.js", {}, 404, {}),
        (f"/static/{VERSION}/stats.html", {}, 404, {}),
        (f"/static/{VERSION}/none.js", {}, 404, {"content-type": "application/problem+json"}),
        (f"/static/{VERSION}/", {}, 404, {}),
        (f"/static/{VERSION}/../app.py", {}, 404, {}),
        (f"/static/{VERSION}/%2e%2e/app.py", {}, 404, {}),
        (f"/static/{VERSION}/..%2fapp.py", {}, 404, {}),
        (f"/static/{VERSION}/....//app.py", {}, 404, {}),
        (f"/static/{VERSION}//etc/passwd", {}, 404, {}),
        (f"/static/{VERSION}/stats.js%00", {}, 404, {}),
        (f"/static/{VERSION}/stats.js/", {}, 404, {}),
        ("/static/stats.js", {}, 404, {}),
        ("/presence-none.js", {}, 404, {"content-type": "application/problem+json"}),
        ("/presence-..%2fstats.js", {}, 404, {}),
    ],
)
async def test_files(
    make_service: MakeService,
    path: str,
    sent: dict[str, str],
    status: int,
    expected: dict[str, str | None],
) -> None:
    service = await make_service()
    answer = await service.client.get(path, headers={"Accept-Encoding": "identity"} | sent)
    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in expected} == expected


@pytest.mark.parametrize("name", sorted(path.name for path in assets.STATIC.glob("*.css")))
def test_style_sheets_are_sent_without_comments(name: str) -> None:
    source = (assets.STATIC / name).read_text()
    assert not [text for text in re.findall(r'"[^"\n]*"', source) if "/*" in text]
    sent = assets.assets().by_name[name].body.decode()
    assert "/*" not in sent
    rules = [re.sub(r"/\*.*?\*/|\s", "", text, flags=re.DOTALL) for text in (source, sent)]
    assert rules[0] == rules[1]


async def test_a_file_is_sent_once(make_service: MakeService) -> None:
    service = await make_service()
    plain = await service.client.get(STATS, headers={"Accept-Encoding": "identity"})
    zipped = await service.client.get(STATS, headers={"Accept-Encoding": "gzip"})
    assert plain.content == zipped.content == (assets.STATIC / "stats.js").read_bytes()
    tags = plain.headers["etag"], zipped.headers["etag"]
    assert len(set(tags)) == 2, "two forms, two tags"
    for encoding, tag in zip(("identity", "gzip"), tags, strict=True):
        assert re.fullmatch(r'"[0-9a-f]+(-gzip)?"', tag)
        for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
            again = await service.client.get(
                STATS, headers={"Accept-Encoding": encoding, "If-None-Match": known}
            )
            assert again.status_code == 304
            assert again.content == b""
            assert again.headers["etag"] == tag
            assert "immutable" in again.headers["cache-control"]
        other = await service.client.get(
            STATS, headers={"Accept-Encoding": encoding, "If-None-Match": '"other"'}
        )
        assert other.status_code == 200


@pytest.mark.parametrize("path", [*PAGES, STATS])
async def test_head(make_service: MakeService, path: str) -> None:
    service = await make_service(TRUSTED_PROXIES="127.0.0.1/32")
    same = {"X-Request-ID": "one-id"}
    get = await service.client.get(path, headers=same)
    head = await service.client.head(path, headers=same)
    assert head.status_code == 200
    assert dict(head.headers) == dict(get.headers)


@pytest.mark.parametrize("path", ["/", "/sites/blog", STATS, "/presence.js"])
async def test_only_to_read(make_service: MakeService, path: str) -> None:
    answer = await (await make_service()).client.post(path)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"


# method, path -> status, the way to the start page, the sentence
@pytest.mark.parametrize(
    "method, path, status, root, detail",
    [
        ("GET", "/nope", 404, "./", "there is nothing here"),
        ("GET", "/nope/deeper%2Fstill/", 404, "../../", "there is nothing here"),
        ("GET", "//nope", 404, "../", "there is nothing here"),
        ("GET", "/sites", 404, "./", "there is nothing here"),
        ("GET", "/sites/B%20ad", 422, "../", "site must"),
        ("GET", "/sites/%3Cscript%3E", 422, "../", "site must"),
        ("POST", "/docs", 405, "./", "POST is not allowed here; allowed: GET, HEAD"),
    ],
)
async def test_a_refusal_is_a_page_for_people(
    make_service: MakeService, method: str, path: str, status: int, root: str, detail: str
) -> None:
    service = await make_service()
    url = f"http://127.0.0.1:8080{path}"
    problem = await service.client.request(method, url)
    assert problem.status_code == status
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.headers["vary"] == "Accept"
    said = problem.json()["detail"]
    assert said.startswith(detail)

    page = await service.client.request(method, url, headers={"Accept": BROWSER})
    assert page.status_code == status
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["vary"] == "Accept"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers.get("allow") == problem.headers.get("allow")
    policy = policy_of(page.headers["content-security-policy"])
    assert policy == STRICT | {"frame-ancestors": "'none'"}
    assert said[1:] in unescape(page.text)
    outline = _Outline(page.text)
    assert outline.inline == []
    assert outline.links == {root, f"{root}docs"}
    for address in outline.loads | outline.links:
        there = page.url.join(address)
        assert (await service.client.get(str(there))).status_code == 200, address


@pytest.mark.parametrize("accept", ["*/*", BROWSER])
@pytest.mark.parametrize(
    "path, status",
    [("/v1/sites/blog/heartbeat", 405), ("/v1/nope", 404), ("/v1/sites/B/stats", 422)],
)
async def test_of_the_api_it_is_a_problem_for_anyone(
    make_service: MakeService, path: str, status: int, accept: str
) -> None:
    answer = await (await make_service()).client.get(path, headers={"Accept": accept})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    if status == 405:
        assert answer.json()["detail"] == "GET is not allowed here; allowed: POST"


async def test_the_client_is_for_the_pages_of_any_host(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "presence.js").write_text("// the client\n" * 40)
    (tmp_path / "presence-live.js").write_text("// more of it\n")
    (tmp_path / "notes.txt").write_text("not to be served")
    monkeypatch.setattr("service.web.pages.assets", lambda: load_assets(tmp_path))
    service = await make_service()
    for path in ("/presence.js", "/presence-live.js"):
        answer = await service.client.get(path)
        assert answer.text == (tmp_path / path[1:]).read_text()
        assert answer.headers["cache-control"] == "public, max-age=3600"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        known = await service.client.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert known.status_code == 304
        assert known.headers["access-control-allow-origin"] == "*"
    assert (await service.client.get("/presence-notes.js")).status_code == 404
    assert (await service.client.get("/static/x/notes.txt")).status_code == 404


def test_the_version_is_that_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("1")
    first = load_assets(tmp_path)
    assert load_assets(tmp_path).version == first.version
    (tmp_path / "a.js").write_text("2")
    second = load_assets(tmp_path)
    (tmp_path / "a.js").rename(tmp_path / "b.js")
    third = load_assets(tmp_path)
    assert len({first.version, second.version, third.version}) == 3
    assert first.by_name["a.js"].gzipped is None, "gzip would be longer"
    assert list(third.by_name) == ["b.js"]


def test_what_is_gzipped_is_the_file() -> None:
    made = messages.modules()
    for name, asset in assets.assets().by_name.items():
        if not name.endswith(".css"):  # see above
            assert asset.body == (made.get(name) or (assets.STATIC / name).read_bytes())
        if asset.gzipped is not None:
            assert gzip.decompress(asset.gzipped) == asset.body
            assert len(asset.gzipped) < len(asset.body)


@pytest.mark.parametrize("path", ["stats", "history?minutes=600"])
async def test_long_numbers_are_gzipped(make_service: MakeService, path: str) -> None:
    service = await make_service()
    beats = [{"sessionId": f"{n:016}", "currentPath": f"/page/{n}"} for n in range(60)]
    body = {"heartbeats": beats}
    assert (await service.client.post("/v1/sites/blog/heartbeats", json=body)).status_code == 200
    url = f"/v1/sites/blog/{path}"
    zipped = await service.client.get(url, headers={"Accept-Encoding": "gzip"})
    plain = await service.client.get(url, headers={"Accept-Encoding": "identity"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert int(zipped.headers["content-length"]) < int(plain.headers["content-length"]) / 3
    assert "Accept-Encoding" in plain.headers["vary"]
    assert zipped.json().keys() == plain.json().keys()


def _npm_tool(*command: str) -> subprocess.CompletedProcess[str]:
    node = shutil.which("node")
    if not node:
        missing("node")
    if not (ROOT / "client" / "node_modules" / "esbuild").is_dir():
        missing("what client/package.json names (npm ci)")
    return subprocess.run(
        [str(node), *command], cwd=ROOT / "client", capture_output=True, text=True, timeout=60
    )


def test_what_is_built_is_up_to_date() -> None:
    done = _npm_tool("pages.mjs", "--check")
    assert done.returncode == 0, done.stderr


def test_the_scripts_have_the_types_they_say() -> None:
    done = _npm_tool("node_modules/typescript/bin/tsc", "-p", "pages")
    assert done.returncode == 0, done.stdout


@pytest.mark.fault("B21")
@pytest.mark.parametrize("is_kept", [True, False])
async def test_the_start_page_says_where_an_operators_token_is(is_kept: bool) -> None:
    settings = Settings.from_env({"PRESENCE_REDIS_URL": "memory://", "PRESENCE_ADMIN_TOKEN": "x"})
    if is_kept:
        settings = settings.with_kept_token("word-of-the-operator")
    transport = httpx.ASGITransport(create_app(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        page = (await client.get("/")).text
    assert (".presence/admin-token" in page) is is_kept
    assert "word-of-the-operator" not in page
