"""The script below a public path, by another name: what a page of the site loads and sends."""

from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser.conftest import MakeLive, NewContext
from tests.deploy.test_first_party import proxy
from tests.servers import wait_until

SETTINGS = {
    "PUBLIC_PATH": "/_p", "SCRIPT_NAME": "here.js", "TRUSTED_PROXIES": "127.0.0.1",
    "SESSION_TIMEOUT": "600", "HEARTBEAT_INTERVAL": "60",
}  # fmt: skip
HTML = """<!doctype html><title>Site</title><link rel="icon" href="data:,">
<script defer src="/_p/here.js" data-site="blog" data-allow-localhost {attributes}></script>
<b data-presence-count></b>"""


def visited(context: BrowserContext, url: str, attributes: str = "") -> tuple[Page, list[str]]:
    """A page of the site with the script, and the paths of all that it asks for."""
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url.removeprefix(url)))
    page = context.new_page()
    html = HTML.format(attributes=attributes)
    page.route(f"{url}/page", lambda route: route.fulfill(body=html, content_type="text/html"))
    page.goto(f"{url}/page")
    return page, asked


def test_all_goes_to_the_sites_own_host_below_the_path(
    make_live: MakeLive, new_context: NewContext, tmp_path: Path
) -> None:
    live = make_live(**SETTINGS)
    with proxy("nginx", tmp_path, live.port) as url:
        page, asked = visited(new_context(), url)
        page.wait_for_function("document.querySelector('b').textContent == '1'")
        assert live.get("/v1/sites/blog/active").json()["activeVisitors"] == 1
        paths = {path.partition("?")[0] for path in asked} - {"/page", "data:,"}
        assert paths >= {"/_p/here.js", "/_p/here-live.js", "/_p/v1/sites/blog/heartbeat"}
        assert not [path for path in paths if not path.startswith("/_p/") or "presence" in path]
        page.close()


@pytest.mark.parametrize("how", ["asks", "data-respect-dnt", "service"])
def test_who_asks_not_to_be_counted_is_not(
    make_live: MakeLive, new_context: NewContext, tmp_path: Path, how: str
) -> None:
    """By their own opt-out, by the page's attribute, and by the service's setting."""
    live = make_live(**SETTINGS, RESPECT_DNT=str(how == "service").lower())
    context = new_context(extra_http_headers={"DNT": "1"} if how == "service" else {})
    if how == "asks":
        context.add_init_script("if (location.host) localStorage.presenceId = ''")
    elif how != "service":
        context.add_init_script(
            "Object.defineProperty(navigator, 'globalPrivacyControl', { value: true })"
        )
    with proxy("nginx", tmp_path, live.port) as url:
        page, asked = visited(context, url, how if how.startswith("data") else "")
        page.wait_for_function("document.querySelector('b').textContent == '0'")
        if how == "service":
            wait_until(lambda: any(path.endswith("/heartbeat") for path in asked))
        else:
            assert not [path for path in asked if path.endswith("/heartbeat")]
        assert live.get("/v1/sites/blog/active").json()["activeVisitors"] == 0
        page.close()


def test_pages_work_below_the_path(
    make_live: MakeLive, new_context: NewContext, tmp_path: Path
) -> None:
    """And show snippets with the path and the name."""
    live = make_live(**SETTINGS)
    with proxy("nginx", tmp_path, live.port) as url:
        page = new_context().new_page()
        page.goto(f"{url}/_p/")
        page.get_by_text(f'src="{url}/_p/here.js"').wait_for()
        page.goto(f"{url}/_p/sites/blog")
        live.visitor("blog").at("/seen")
        page.get_by_text("/seen").first.wait_for()
        page.close()
