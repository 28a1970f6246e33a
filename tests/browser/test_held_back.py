"""Behind a CDN that holds streams back whatever they say, numbers are fetched instead, B36."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests import plain
from tests.browser.site import LiveService
from tests.browser.test_shared import note_requests
from tests.deploy.balancers import program
from tests.deploy.test_proxies import NGINX, listens
from tests.servers import free_port, wait_until

# Fetched 5 s after the stream was opened, and every 10 s from then on, by the page's clock.
SILENCE_MS, POLL_MS = 5_000, 10_000
CDN = """
    proxy_buffering on;
    proxy_ignore_headers X-Accel-Buffering;
    proxy_cache cdn;
    proxy_http_version 1.1;
"""


@pytest.fixture
def cdn(calm: LiveService, tmp_path: Path) -> Iterator[str]:
    """The URL of an nginx that collects, compresses and caches what it may."""
    port = free_port()
    text = NGINX.format(folder=tmp_path, port=port, service=calm.port, more=CDN)
    cache = f"proxy_cache_path {tmp_path}/cache keys_zone=cdn:1m;"
    text = text.replace("http {", f"http {{\n    {cache}", 1)
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # its workers would be nobody, without access
        text = f"user root;\n{text}"
    (tmp_path / "nginx.conf").write_text(text)
    with (tmp_path / "log").open("ab") as log:
        process = subprocess.Popen(
            [program("nginx"), "-e", "stderr", "-p", str(tmp_path), "-c", "nginx.conf"],
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: listens(process, port, tmp_path), what="nginx")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def open_in_vain(page: Page, url: str, calm: LiveService, site: str, people: int) -> None:
    """Goes there, and waits in vain for the stream to say that so many are here."""
    page.clock.install()
    with page.expect_request(re.compile("/live")):
        page.goto(url)
    active = f"/v1/sites/{site}/active"
    wait_until(lambda: calm.get(active).json()["activeVisitors"] == people, what="them")
    page.clock.fast_forward(SILENCE_MS)


@pytest.mark.fault("B36")
def test_the_stream_is_held_back(cdn: str, calm: LiveService, site: str) -> None:
    calm.visitor(site).at("/")
    with pytest.raises(httpx.ReadTimeout):
        plain.get(f"{cdn}/v1/sites/{site}/live", timeout=1)
    assert plain.get(f"{cdn}/v1/sites/{site}/active").json()["activeVisitors"] == 1


@pytest.mark.fault("B36")
def test_a_page_shows_numbers_that_stay_live(
    cdn: str, calm: LiveService, site: str, page: Page
) -> None:
    calm.visitor(site).at("/there")
    page.route(
        f"{cdn}/page",
        lambda route: route.fulfill(
            content_type="text/html",
            body=f'<script defer src="{cdn}/presence.js" data-site="{site}" data-allow-localhost>'
            '</script><b data-presence-count></b> <i data-presence-count="/there"></i>',
        ),
    )
    open_in_vain(page, f"{cdn}/page", calm, site, 2)
    for elsewhere in (1, 2):
        expect(page.locator("b")).to_have_text(str(elsewhere + 1))
        expect(page.locator("i")).to_have_text(str(elsewhere))
        expect(page.locator("b")).to_have_attribute("data-presence-state", "live")
        calm.visitor(site).at("/there")
        page.clock.fast_forward(POLL_MS)


@pytest.mark.fault("B36")
def test_the_stats_page_shows_numbers_that_stay_live(
    cdn: str, calm: LiveService, site: str, page: Page
) -> None:
    calm.visitor(site).at("/")
    requests = note_requests(page)
    open_in_vain(page, f"{cdn}/sites/{site}", calm, site, 1)
    for count in ("1", "2"):
        expect(page.locator("#active")).to_have_text(count)
        expect(page.locator("#connection-text")).to_have_text(re.compile("^Live"))
        calm.visitor(site).at("/")
        page.clock.fast_forward(POLL_MS)
    expect(page.locator("#active")).to_have_text("3")
    for what, times in {"stats": 3, "history?minutes=30": 1}.items():
        asked = [request for request in requests if f"{site}/{what}" in request.url]
        assert len(asked) == times, what


@pytest.mark.fault("B36")
def test_the_chart_is_fetched_again_after_a_gap(
    cdn: str, calm: LiveService, site: str, page: Page
) -> None:
    """A laptop that slept does not know what it missed."""
    calm.visitor(site).at("/")
    requests = note_requests(page)
    open_in_vain(page, f"{cdn}/sites/{site}", calm, site, 1)
    expect(page.locator("#active")).to_have_text("1")

    def later(route: Route) -> None:
        stats = plain.get(route.request.url).json()
        route.fulfill(json=stats | {"asOf": stats["asOf"] + 20 * 60_000, "activeVisitors": 2})

    page.route(re.compile("/stats"), later)
    page.clock.fast_forward(POLL_MS)
    expect(page.locator("#active")).to_have_text("2")
    history = re.compile(f"{site}/history\\?minutes=30")
    assert sum(history.search(request.url) is not None for request in requests) == 2
