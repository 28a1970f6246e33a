"""The pages where others put them: below a proxy's prefix, and in frames of other pages."""

import contextlib
import http.client
from http.server import BaseHTTPRequestHandler

import pytest
from playwright.sync_api import Page, expect

from tests.browser.board import Board
from tests.browser.conftest import MakeLive, SitesFile, Watched
from tests.browser.site import LiveService
from tests.browser.web import Answer, answer_page, web_server


def proxy_to(port: int, prefix: str) -> Answer:
    """Passes on what is asked below a prefix, without it; anything else is no page of ours."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        if not request.path.startswith(f"{prefix}/"):
            request.send_error(404)
            return
        address = request.path.removeprefix(prefix)
        upstream = http.client.HTTPConnection("127.0.0.1", port)
        with contextlib.closing(upstream):
            upstream.request("GET", address, headers=dict(request.headers))
            got = upstream.getresponse()
            request.send_response(got.status)
            for name, value in got.getheaders():
                if name.lower() != "transfer-encoding":
                    request.send_header(name, value)
            request.end_headers()
            with contextlib.suppress(http.client.IncompleteRead):  # a live stream is broken off
                while piece := got.read1(65_536):
                    request.wfile.write(piece)

    return answer


def test_below_a_prefix(calm: LiveService, site: str, page: Page) -> None:
    with web_server(proxy_to(calm.port, "/tools/presence")) as port:
        root = f"http://127.0.0.1:{port}/tools/presence"
        calm.visitor(site).at("/")
        page.goto(f"{root}/sites/{site}")
        board = Board(page)
        board.expect_now(1, home=1)
        expect(page.locator("#plot canvas")).to_be_visible()

        page.goto(f"{root}/sites/new.{site}")
        local = "data-allow-localhost"
        tag = f'<script defer src="{root}/presence.js" data-site="new.{site}" {local}></script>'
        expect(page.locator("#script-tag")).to_have_text(tag)
        page.get_by_role("link", name="Other ways to get started").click()
        expect(page).to_have_url(f"{root}/")
        page.get_by_label("Name your site").fill(f"new.{site}")
        expect(page.locator("#script-tag")).to_have_text(tag)
        calm.visitor(f"new.{site}").at("/")
        page.get_by_role("link", name="Open the stats page").click()
        expect(page).to_have_url(f"{root}/sites/new.{site}")
        board.expect_now(1, home=1)
        page.get_by_role("link", name="API").click()
        page.get_by_role("link", name="Getting started").first.click()
        expect(page).to_have_url(f"{root}/")
        page.goto("about:blank")  # so that the stream ends, and the proxy can


# query, origins -> whether the frame may show it. HERE is the origin of the framing page.
@pytest.mark.parametrize(
    "query, origins, is_shown",
    [
        ("?embed", None, True),
        ("", None, False),
        ("?wall", None, False),
        ("?embed", "HERE", True),
        ("?embed", "https://example.org", False),
    ],
)
def test_in_a_frame(
    calm: LiveService,
    site: str,
    make_live: MakeLive,
    page: Page,
    sites_file: SitesFile,
    watched: Watched,
    query: str,
    origins: str | None,
    is_shown: bool,
) -> None:
    address = ""
    with web_server(
        lambda request: answer_page(request, f'<iframe src="{address}"></iframe>')
    ) as port:
        here = f"http://localhost:{port}"
        live = calm
        if origins:
            origin = origins.replace("HERE", here)
            live = make_live(SITES_FILE=sites_file(f'["{site}"]\norigins = ["{origin}"]\n'))
        address = f"{live.url}/sites/{site}{query}"
        if not is_shown:
            watched.allowed += ["frame-ancestors", "Framing"]
        page.goto(here)
        now = page.frame_locator("iframe").locator("#welcome, #active")
        if is_shown:
            expect(page.frame_locator("iframe").locator("#active")).to_have_text("0")
        else:
            expect(now).to_have_count(0)
            assert any("frame-ancestors" in fault for fault in watched.faults)
        page.goto("about:blank")


SITES = """
[private]
public = false
token = "x"
[new]
"""


@pytest.mark.parametrize(
    "site, shown",
    [("new", "people here now"), ("private", "These numbers are not public.")],
)
def test_an_embed_tells_readers_nothing_of_installing_or_tokens(
    make_live: MakeLive,
    page: Page,
    sites_file: SitesFile,
    watched: Watched,
    site: str,
    shown: str,
) -> None:
    watched.allowed += ["status of 401"]
    live = make_live(SITES_FILE=sites_file(SITES))
    page.clock.install()
    body = f'<iframe src="{live.url}/sites/{site}?embed"></iframe>'
    with web_server(lambda request: answer_page(request, body)) as port:
        page.goto(f"http://localhost:{port}")
        inside = page.frame_locator("iframe").locator("body")
        expect(inside).to_contain_text(shown)
        page.clock.fast_forward(30_000)
        expect(inside).to_contain_text(shown)
        seen = inside.inner_text().lower()
        for word in ("token", "script", "line", "localhost", "api", "nothing yet"):
            assert word not in seen
        expect(inside.locator("input:visible, pre:visible")).to_have_count(0)
        page.goto("about:blank")
