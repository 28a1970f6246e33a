"""The stats page's panel with all pages, or all countries."""

import re
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.board import Board
from tests.browser.conftest import NewContext
from tests.browser.site import LiveService
from tests.browser.test_accessible import faults_of

SECTIONS = ("shop", "blog", "docs", "help")


@pytest.fixture
def board(calm: LiveService, site: str, new_context: NewContext) -> Board:
    """400 pages in four sections, and two on one that is not among those with most."""
    beats = [{"currentPath": f"/{SECTIONS[n % 4]}/{n}"} for n in range(400)]
    calm.beat_all(site, [*beats, *beats[:20], *beats[:20], {"currentPath": "/docs/370"}])
    board = Board.open(new_context(reduced_motion="reduce").new_page(), calm, site)
    expect(board.now).to_have_text("441")
    return board


def open_panel(page: Page, of: str = "pages") -> None:
    """Opens it by keyboard from a list's last row."""
    page.locator(f"#{of} .other").get_by_role("button", name="other pages").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="All pages")).to_be_visible()
    expect(page.locator("#browse output")).to_have_text("400 of 400 pages")
    expect(page.locator("#browse tbody tr")).to_have_count(400)


@pytest.mark.parametrize("of", ["pages", "top"])
def test_a_page_is_found_and_chosen(board: Board, of: str) -> None:
    page = board.page
    open_panel(page, of)
    expect(page.get_by_role("searchbox", name="Search")).to_be_focused()
    page.keyboard.type("docs 37")
    expect(page.locator("#browse output")).to_have_text("3 of 400 pages")
    row = page.get_by_role("row").filter(has=page.get_by_role("button", name="/docs/370"))
    expect(row.get_by_role("cell").first).to_have_text("2")
    row.get_by_role("button").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(board.now).to_have_text("2")
    expect(page).to_have_url(re.compile(r"\?page=%2Fdocs%2F370$"))
    expect(board.count("/docs/370")).to_have_text("2")
    page.go_back()
    expect(board.now).to_have_text("441")


def test_esc_closes_and_the_focus_returns(board: Board) -> None:
    page = board.page
    board.expect_past()
    page.locator("#pages .other button").focus()
    before = page.locator("#pages").bounding_box()
    open_panel(page)
    assert page.locator("#pages").bounding_box() == before
    size = page.locator("#browse").bounding_box()
    page.keyboard.type("no such page")
    expect(page.locator("#browse output")).to_have_text("0 of 400 pages")
    assert page.locator("#browse").bounding_box() == size
    page.keyboard.press("Escape")  # empties the search
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("#pages .other button")).to_be_focused()
    open_panel(page)  # as it was at first
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_pages_are_grouped(board: Board) -> None:
    page = board.page
    open_panel(page)
    page.get_by_label("Group by section").check()
    expect(page.get_by_role("rowheader").filter(has_text="100 pages")).to_have_count(4)
    heads = page.locator("#browse .group").all_inner_texts()
    assert re.split(r"\s+", heads[0])[:4] == ["/docs", "·", "100", "pages"]
    assert "111" in heads[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(board: Board, scheme: Literal["light", "dark"]) -> None:
    page = board.page
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 320, "height": 640})
    open_panel(page)
    page.get_by_label("Group by section").check()
    expect(page.locator("#browse tbody")).to_have_count(4)
    assert faults_of(page) == []
    assert board.call("document.documentElement.scrollWidth") <= 320
    assert board.call(
        "((area) => area.scrollWidth <= area.clientWidth)(document.querySelector('#browse .area'))"
    )


COUNTRIES = ["DE", "FR", "US", "BR", "JP", "NG", "AU", "SE", "PT", "KR"]


def test_a_country_is_found_and_chosen(calm: LiveService, site: str, page: Page) -> None:
    beats = [{"country": code} for n, code in enumerate(COUNTRIES) for _ in range(12 - n)]
    calm.beat_all(site, [{"currentPath": "/", **beat} for beat in [*beats, {}, {}]])
    board = Board.open(page, calm, site)
    expect(board.now).to_have_text("77")
    unknown = page.locator("#countries .other").filter(has_text="unknown")
    expect(unknown.get_by_role("button")).to_have_count(0)  # there is nothing more to tell
    page.get_by_role("button", name="other countries").click()
    panel = page.get_by_role("dialog", name="All countries")
    expect(panel.locator("output")).to_have_text("10 of 10 countries")
    rows = panel.locator("tbody tr")
    expect(rows).to_have_count(11)
    expect(rows.first).to_contain_text("Germany")
    expect(rows.last).to_have_text("?unknown2")
    expect(panel.get_by_label("Group by section")).to_be_hidden()
    assert faults_of(page) == []
    for words in ("port", "PT"):  # by name or code
        page.get_by_role("searchbox", name="Search").fill(words)
        expect(panel.locator("output")).to_have_text("1 of 10 countries")
    panel.get_by_role("button", name="Portugal").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(board.now).to_have_text("4")
    expect(page).to_have_url(re.compile(r"\?country=PT$"))
    page.go_back()
    expect(board.now).to_have_text("77")


def test_the_panel_serves_both_lists(calm: LiveService, board: Board, site: str) -> None:
    page = board.page
    calm.beat_all(site, [{"currentPath": "/docs/2", "country": code} for code in COUNTRIES])
    expect(board.now).to_have_text("451")
    open_panel(page)
    page.get_by_label("Group by section").check()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="other countries").click()
    expect(page.get_by_role("dialog", name="All countries")).to_be_visible()
    expect(page.locator("#browse tbody tr")).to_have_count(11)
    page.get_by_role("button", name="Close").click()
    open_panel(page)
