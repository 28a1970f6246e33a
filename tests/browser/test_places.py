"""The pages where others put them: below a proxy's prefix, and in frames of other pages."""

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Page, expect

from tests.browser.board import Board
from tests.browser.conftest import MakeLive, SitesFile, Watched
from tests.browser.site import LiveService

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextlib.contextmanager
def web_server(answer: Answer) -> Iterator[int]:
    """A small web server of this test; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(ConnectionError):
                answer(self)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


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
        tag = f'<script defer src="{root}/presence.js" data-site="new.{site}"></script>'
        expect(page.locator("#tag")).to_have_text(tag)
        page.get_by_role("link", name="Other ways to begin").click()
        expect(page).to_have_url(f"{root}/")
        page.get_by_label("Name your site").fill(f"new.{site}")
        expect(page.locator("#tag")).to_have_text(tag)
        calm.visitor(f"new.{site}").at("/")
        page.get_by_role("link", name="Open the stats page").click()
        expect(page).to_have_url(f"{root}/sites/new.{site}")
        board.expect_now(1, home=1)
        page.get_by_role("link", name="API").click()
        page.get_by_role("link", name="Getting started").first.click()
        expect(page).to_have_url(f"{root}/")
        page.goto("about:blank")  # so that the stream ends, and the proxy can


def framing(address: str) -> Answer:
    """A page of another origin that shows an address in a frame."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        body = f'<!doctype html><link rel="icon" href="data:,"><iframe src="{address}"></iframe>'
        request.send_response(200)
        request.send_header("Content-Type", "text/html")
        request.end_headers()
        request.wfile.write(body.encode())

    return answer


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
    make_live: MakeLive,
    page: Page,
    sites_file: SitesFile,
    watched: Watched,
    query: str,
    origins: str | None,
    is_shown: bool,
) -> None:
    address = ""
    with web_server(lambda request: framing(address)(request)) as port:
        here = f"http://localhost:{port}"
        settings = {}
        if origins:
            origin = origins.replace("HERE", here)
            settings["SITES_FILE"] = sites_file(f'[blog]\norigins = ["{origin}"]\n')
        live = make_live(**settings)
        address = f"{live.url}/sites/blog{query}"
        if not is_shown:
            watched.allowed += ["frame-ancestors", "Framing"]
        page.goto(here)
        now = page.frame_locator("iframe").locator("#welcome, #now")
        if is_shown:
            expect(now.first).to_be_attached()
            expect(page.frame_locator("iframe").locator("#welcome")).to_be_visible()
        else:
            expect(now).to_have_count(0)
            assert any("frame-ancestors" in fault for fault in watched.faults)
        page.goto("about:blank")
