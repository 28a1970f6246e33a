"""Long paths on the stats page keep their end, and all of them can be read."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.board import Board
from tests.browser.conftest import NewContext
from tests.browser.site import LiveService
from tests.browser.test_accessible import faults_of

START = "/blog/2025/12/a-very-long-title-of-an-article-that-goes-on-and-on"
LONG = f"{START}/and-its-last-part"
OTHER = f"{START}/another-part"


@pytest.fixture
def board(calm: LiveService, site: str, new_context: NewContext) -> Board:
    """A phone, with somebody who went from one long path to another."""
    calm.visitor(site).at(LONG)
    calm.visitor(site).at(OTHER).at(LONG)
    calm.visitor(site).at("/short")
    context = new_context(
        viewport={"width": 375, "height": 1600}, has_touch=True, reduced_motion="reduce"
    )
    board = Board.open(context.new_page(), calm, site)
    expect(board.now).to_have_text("3")
    return board


def is_cut(part: Locator) -> bool:
    """Whether not all of a part of a path is seen."""
    cut: bool = part.evaluate("(part) => part.scrollWidth > part.clientWidth")
    return cut


def test_the_end_is_seen(board: Board) -> None:
    paths = {"row": board.row(LONG).locator(".label"), "feed": board.page.locator("#feed .path")}
    for name, path in paths.items():
        for n in range(path.count()):
            if (path.nth(n).text_content() or "").startswith(START):
                assert is_cut(path.nth(n).locator(".prefix")), name
                assert not is_cut(path.nth(n).locator(".end")), name
    assert not is_cut(board.row("/short").locator(".end"))
    lines = board.call(
        """() => [...document.querySelectorAll("#feed .text")].map((text) =>
          Math.round(text.offsetHeight / parseFloat(getComputedStyle(text).lineHeight)))"""
    )
    assert lines.count(2) == 1, "who went from one to the other"
    assert max(lines) == 2


def test_choosing_a_long_path_moves_no_row(board: Board) -> None:
    where = "document.querySelector('#pages').getBoundingClientRect().top + scrollY"
    board.expect_past()
    before = board.call(where)
    board.row(LONG).get_by_role("button").click()
    expect(board.page.locator("#active-label")).to_have_text(f"people on {LONG} now")
    assert board.call(where) == pytest.approx(before, abs=1)


@pytest.mark.parametrize("width", [375, 1280])
def test_a_heading_uses_the_room_there_is(board: Board, site: str, width: int) -> None:
    """A second line, before anything of the path is left out."""
    page = board.page
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(re.sub(r"\?.*", "", page.url) + "?page=/docs/getting-started")
    heading = page.locator("#active-label")
    expect(heading).to_have_text("people on /docs/getting-started now")
    for part in (".prefix", ".end"):
        assert not is_cut(heading.locator(part))
    page.goto(re.sub(r"\?.*", "", page.url) + "?page=/docs/getting-started/in-town/now")
    expect(heading).to_have_text("people on /docs/getting-started/in-town/now now")
    shown = heading.locator("bdi").evaluate("(path) => path.innerText")
    assert shown == "/docs/getting-started/in-town/now"
    assert heading.evaluate("(head) => head.classList.contains('long')") is False
    board.row("/short").get_by_role("button").click()
    expect(heading).to_have_text("person on /short now")
    lines = (
        "(head) => Math.round(head.offsetHeight / parseFloat(getComputedStyle(head).lineHeight))"
    )
    assert heading.evaluate(lines) == 1


def test_a_last_segment_that_is_too_long_is_shortened_as_well(
    calm: LiveService, site: str, board: Board
) -> None:
    path = "/" + "long" * 100
    calm.visitor(site).at(path)
    expect(board.row(path)).to_be_visible()
    assert is_cut(board.row(path).locator(".end"))
    for width in (320, 1280):
        board.page.set_viewport_size({"width": width, "height": 900})
        assert board.call("document.documentElement.scrollWidth") <= width


def tip(page: Page) -> Locator:
    """The whole path, as it is told."""
    return page.locator(".whole-path")


def test_the_whole_is_told_on_focus(board: Board) -> None:
    page = board.page
    board.row(LONG).get_by_role("button").focus()
    expect(tip(page)).to_have_text(LONG)
    expect(tip(page)).to_be_visible()
    assert faults_of(page) == []
    page.keyboard.press("Escape")
    expect(tip(page)).to_be_hidden()
    board.row("/short").get_by_role("button").focus()
    expect(tip(page)).to_be_hidden()  # all of it is seen


def test_the_whole_is_told_on_tap_and_pointing(board: Board) -> None:
    page = board.page
    for path in (
        board.row(LONG).locator(".label"),
        page.locator("#feed .path", has_text=LONG).first,
    ):
        path.tap()
        expect(tip(page)).to_have_text(LONG)
        box = tip(page).bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 375
        page.locator("#feed-title").tap()
        expect(tip(page)).to_be_hidden()
        path.hover()
        expect(tip(page)).to_be_visible()
        page.mouse.move(2, 2)
        expect(tip(page)).to_be_hidden()
