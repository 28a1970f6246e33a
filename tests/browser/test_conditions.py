"""The pages as some people have them: without JavaScript, and in colours of their own."""

import pytest
from playwright.sync_api import expect

from tests.browser.board import Board
from tests.browser.conftest import NewContext
from tests.browser.site import LiveService


@pytest.mark.parametrize("query", ["", "?wall", "?embed"], ids=["page", "wall", "embed"])
def test_without_javascript_nothing_is_promised(
    calm: LiveService, site: str, new_context: NewContext, query: str
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto(f"{calm.url}/sites/{site}{query}")
    seen = page.locator("body").inner_text()  # Playwright's assertions skip <noscript>
    assert "Needs JavaScript" in seen
    assert "These numbers update live" in seen
    assert "Connecting" not in seen
    assert ("the API" in seen) == (query != "?embed")


def test_without_javascript_the_start_page_waits_for_nothing(
    calm: LiveService, new_context: NewContext
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto(f"{calm.url}/")
    expect(page.locator("#first-heartbeat")).to_have_attribute("data-state", "idle")
    expect(page.locator("#script-tag")).to_contain_text('data-site="demo"')
    expect(page.locator("#copy")).to_be_hidden()  # it would do nothing
    for text in ("Connecting", "Waiting"):
        expect(page.locator("body")).not_to_contain_text(text)
    page.locator("#first-heartbeat").get_by_role("link", name="stats page").click()
    expect(page).to_have_url(f"{calm.url}/sites/demo")


SEEN = """(selectors) => selectors.map(([selector, property]) =>
  getComputedStyle(document.querySelector(selector))[property])"""
COLOURED = [
    (".map [data-people]", "fill"),
    ("#map-dots circle", "fill"),
    (".swatch.people", "borderTopColor"),
    (".swatch.views", "backgroundColor"),
    ("[data-span][aria-pressed=true]", "backgroundColor"),
    ("#pages .row[aria-pressed=true]", "outlineColor"),
    (".status-dot", "backgroundColor"),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_forced_colours_keep_what_colours_say(
    calm: LiveService, site: str, new_context: NewContext, scheme: str
) -> None:
    place = {"country": "DE", "city": "Berlin", "latitude": 52.5, "longitude": 13.4}
    calm.beat_all(site, [{"currentPath": "/", **place}] * 3)
    page = new_context(forced_colors="active", color_scheme=scheme).new_page()
    board = Board.open(page, calm, site, query="?page=%2F")
    expect(board.now).to_have_text("3")
    expect(page.locator("#map-dots circle")).to_have_count(1)
    expect(page.locator("#plot canvas")).to_be_visible()
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    for (selector, _), colour in zip(COLOURED, page.evaluate(SEEN, COLOURED), strict=True):
        assert colour not in (background, "rgba(0, 0, 0, 0)"), selector
    pressed, other = page.evaluate(
        SEEN,
        [[f"[data-span][aria-pressed={state}]", "backgroundColor"] for state in ("true", "false")],
    )
    assert pressed != other
    land, dot, people, views = page.evaluate(SEEN, COLOURED[:4])
    assert land != dot, "a place is seen on the land"
    assert people != views, "the two series are told apart"
