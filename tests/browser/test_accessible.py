"""axe-core finds nothing, in all views and both colour schemes."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.board import Board
from tests.browser.conftest import MakeLive, NewContext, SitesFile, Watched
from tests.browser.crowd import Crowd
from tests.servers import missing

AXE = Path(__file__).parents[2] / "client" / "node_modules" / "axe-core" / "axe.min.js"
SITES = """
[blog]
[empty]
[secret]
public = false
token = "open-sesame"
"""


def faults_of(page: Page) -> list[str]:
    """What axe-core finds, a line each."""
    if not AXE.is_file():
        missing("axe-core (npm ci in client)")
    page.evaluate(AXE.read_text())  # through the debugger: the page's policy lets no script in
    found: dict[str, Any] = page.evaluate("() => axe.run({resultTypes: ['violations']})")
    return [
        f"{rule['id']}: {node['html']} {node.get('failureSummary', '')}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(
    make_live: MakeLive,
    new_context: NewContext,
    sites_file: SitesFile,
    watched: Watched,
    scheme: str,
) -> None:
    watched.allowed += ["status of 401", "status of 404", "ERR_CONNECTION_REFUSED"]
    watched.allowed += ["ERR_INCOMPLETE_CHUNKED"]
    live = make_live(SITES_FILE=sites_file(SITES), SESSION_TIMEOUT="600")
    crowd = Crowd("blog")
    crowd.arrive(live, 60)
    page = new_context(color_scheme=scheme, reduced_motion="reduce").new_page()
    board = Board(page)
    found: dict[str, list[str]] = {}

    def look(name: str) -> None:
        faults = faults_of(page)
        if faults:
            found[name] = faults

    for path in ("/", "/docs"):
        page.goto(live.url + path)
        look(path)
    for query in ("", "?wall", "?embed", "?page=%2F"):
        Board.open(page, live, query=query)
        expect(board.now).not_to_have_text("–")
        crowd.arrive(live, 3)
        expect(page.locator("#pages [data-change]").first).to_be_attached()
        look(f"blog{query}")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="24 h").click()
    look("paused, 48 h")
    page.set_viewport_size({"width": 390, "height": 844})
    look("phone")
    for site, shown in (
        ("empty", "#welcome"),
        ("secret", "#token-form"),
        ("none", "#token-form"),
    ):
        Board.open(page, live, site=site)
        expect(page.locator(shown)).to_be_visible()
        look(site)
    Board.open(page, live)
    expect(board.now).not_to_have_text("–")
    live.stop()
    expect(board.error).to_be_visible()
    look("disconnected")
    assert found == {}
