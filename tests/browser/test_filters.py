"""The stats page's filters: what follows one does, and what cannot says so."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.board import Board
from tests.browser.conftest import NewContext
from tests.browser.site import LiveService
from tests.browser.test_accessible import faults_of

BERLIN = {"country": "DE", "city": "Berlin", "latitude": 52.5, "longitude": 13.4}
PARIS = {"country": "FR", "city": "Paris", "latitude": 48.9, "longitude": 2.4}
SITE_WIDE = {"Over time", "Peak today", "Unique visitors", "Unique today"}


def chip(page: Page, text: str) -> Locator:
    """The chip of a filter, a button that takes it away."""
    return page.locator("#filters").get_by_role("button", name=f"{text} (remove)")


def site_wide(page: Page) -> set[str]:
    """The titles of what says that it shows the whole site."""
    notes = page.locator("[data-whole] .whole-site:visible")
    titles = notes.evaluate_all("(notes) => notes.map((note) => note.parentNode.textContent)")
    return {title.removesuffix(" whole site") for title in titles}


@pytest.fixture
def board(calm: LiveService, site: str, page: Page) -> Board:
    """Two of three on /pricing, one of them in Germany as is the third, on /."""
    calm.beat_all(site, [{"currentPath": "/pricing", **BERLIN}, {"currentPath": "/", **BERLIN}])
    calm.beat_all(site, [{"currentPath": "/pricing", **PARIS}])
    page.set_viewport_size({"width": 1280, "height": 1600})
    board = Board.open(page, calm, site)
    board.expect_now(3, home=1, pricing=2)
    expect(page.locator("#filters")).to_contain_text("The whole site.")
    assert site_wide(page) == set()
    return board


def test_a_page_filters_what_can_follow(calm: LiveService, site: str, board: Board) -> None:
    page = board.page
    board.row("/pricing").get_by_role("button").click()
    expect(chip(page, "Page: /pricing")).to_be_visible()
    expect(board.now).to_have_text("2")
    expect(page.locator("#views")).to_have_text("2")
    expect(board.feed).to_have_count(2)
    assert site_wide(page) == SITE_WIDE | {"Countries now"}
    calm.visitor(site).at("/pricing")
    expect(board.now).to_have_text("3")
    calm.visitor(site).at("/elsewhere")
    expect(page.locator("#filter")).to_have_text("of 5 people on the site.")
    expect(board.feed).to_have_count(3)

    chip(page, "Page: /pricing").click()
    board.expect_now(5)
    assert site_wide(page) == set()
    expect(page).to_have_url(f"{calm.url}/sites/{site}")


def test_a_country_filters_what_can_follow(calm: LiveService, site: str, board: Board) -> None:
    page = board.page
    board.row("Germany", "countries").get_by_role("button").click()
    expect(chip(page, "Country: Germany")).to_be_visible()
    expect(board.now).to_have_text("2")
    expect(page.locator("#active-label")).to_have_text("people in Germany now")
    expect(page).to_have_title(f"2 in Germany · {site}")
    expect(page).to_have_url(re.compile(r"\?country=DE$"))
    expect(page.locator("#map-dots circle")).to_have_count(1)
    expect(board.feed).to_have_count(2)
    pressed = board.row("Germany", "countries").get_by_role("button", pressed=True)
    expect(pressed).to_have_count(1)
    assert site_wide(page) == SITE_WIDE | {"Page views", "Pages now", "Top pages"}
    assert board.rows() == [("/pricing", 2), ("/", 1)], "it says of the whole site what it did"
    calm.visitor(site, country="DE").at("/")
    expect(board.now).to_have_text("3")
    calm.visitor(site, country="FR").at("/")
    expect(page.locator("#filter")).to_have_text("of 5 people on the site.")
    expect(board.feed).to_have_count(3)


def test_two_filters_and_the_way_back(calm: LiveService, site: str, board: Board) -> None:
    page = board.page
    board.row("/pricing").get_by_role("button").click()
    expect(board.now).to_have_text("2")
    board.row("Germany", "countries").get_by_role("button").click()
    expect(board.feed).to_have_count(1)
    expect(page.locator("#filter")).to_contain_text("From all countries")
    expect(page.locator("#views")).to_have_text("3")  # what says it is the whole site's is
    expect(page.locator("#map-dots circle")).to_have_count(2)
    expect(page).to_have_url(re.compile(r"\?page=%2Fpricing&country=DE$"))

    page.reload()  # as one who was sent the URL
    expect(board.feed).to_have_count(1)
    expect(chip(page, "Country: Germany")).to_be_visible()
    page.go_back()
    expect(chip(page, "Country: Germany")).to_have_count(0)
    expect(board.feed).to_have_count(2)
    page.go_back()
    board.expect_now(3, home=1, pricing=2)
    page.go_forward()
    expect(board.now).to_have_text("2")
    page.go_forward()
    expect(board.feed).to_have_count(1)

    chip(page, "Page: /pricing").focus()
    page.keyboard.press("Enter")
    expect(chip(page, "Country: Germany")).to_be_focused()
    page.get_by_role("button", name="Show the whole site").click()
    board.expect_now(3, home=1, pricing=2)


@pytest.mark.parametrize("query", ["?country=de", "?country=DE&page=foo"])
def test_a_country_in_the_address(calm: LiveService, site: str, board: Board, query: str) -> None:
    Board.open(board.page, calm, site, query)
    expect(board.now).to_have_text("2")


# path, other pages -> what is said of it, and its views. Beyond 50 pages nobody can tell.
@pytest.mark.parametrize(
    "path, others, is_said, views",
    [
        ("/nobody", 0, True, "0"),
        ("/left", 0, False, "1"),
        ("/pricing", 0, False, "2"),
        ("/pricing", 70, False, "2"),
        ("/nobody", 70, False, "–"),
    ],
)
def test_a_page_nobody_ever_saw(
    calm: LiveService,
    site: str,
    board: Board,
    path: str,
    others: int,
    is_said: bool,
    views: str,
) -> None:
    calm.visitor(site).at("/left").leave()
    calm.beat_all(site, [{"currentPath": f"/p{n}"} for n in range(others)])
    Board.open(board.page, calm, site, f"?page={path}")
    expect(board.page.locator("#views")).to_have_text(views)
    said = re.compile("No view of this page was ever counted")
    if is_said:
        expect(board.page.locator("#filter")).to_contain_text(said)
    else:
        expect(board.page.locator("#filter")).not_to_contain_text(said)


def test_a_page_nobody_ever_saw_on_a_busy_site(calm: LiveService, site: str, board: Board) -> None:
    """Views are told at once, and which pages there are now and then: the two never match."""
    said = re.compile("No view of this page was ever counted")
    Board.open(board.page, calm, site, "?page=/nobody")
    expect(board.page.locator("#filter")).to_contain_text(said)
    calm.visitor(site).at("/")
    expect(board.page.locator("#filter")).to_contain_text("of 4 people")
    expect(board.page.locator("#filter")).to_contain_text(said)
    calm.visitor(site).at("/nobody")
    expect(board.page.locator("#filter")).not_to_contain_text(said)


@pytest.mark.parametrize("width, height", [(320, 900), (360, 420), (390, 844)])
def test_every_chip_says_its_value(
    calm: LiveService, site: str, page: Page, width: int, height: int
) -> None:
    calm.beat_all(site, [{"currentPath": "/pricing", **BERLIN, "source": "news.example"}])
    page.set_viewport_size({"width": width, "height": height})
    Board.open(page, calm, site, "?page=/pricing&country=DE&source=news.example")
    values = page.locator(".chip bdi")
    expect(values).to_have_text(["/pricing", "Germany", "news.example"])
    hidden = "(all) => all.map((one) => one.scrollWidth - one.clientWidth)"
    assert values.evaluate_all(hidden) == [0, 0, 0]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    last = chip(page, "Source: news.example")
    last.click()
    expect(last).to_have_count(0)
    assert faults_of(page) == []


@pytest.mark.parametrize("width", [375, 1280])
def test_choosing_moves_nothing(board: Board, width: int) -> None:
    """Down to the row itself; what is below the activity moves up, as that is filtered."""
    board.page.set_viewport_size({"width": width, "height": 1600})
    board.expect_past()
    before = board.call(TOPS)
    board.row("/pricing").get_by_role("button").click()
    expect(board.now).to_have_text("2")
    assert board.call(TOPS) == pytest.approx(before, abs=0.1)


TOPS = """() => {
  for (const animation of document.getAnimations()) animation.finish();
  const above = "#dashboard > :is(.active, .chart, .totals, .pages), #pages li";
  return [...document.querySelectorAll(above)]
    .map((part) => part.getBoundingClientRect().top + scrollY);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("query", ["", "?embed&", "?wall&"], ids=["page", "embed", "wall"])
def test_a_filter_can_be_read_by_everybody(
    calm: LiveService, site: str, new_context: NewContext, scheme: str, query: str
) -> None:
    calm.beat_all(site, [{"currentPath": "/pricing", **BERLIN}, {"currentPath": "/"}])
    context = new_context(color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    board = Board.open(page, calm, site, f"{query or '?'}page=%2Fpricing&country=DE")
    expect(board.now).to_have_text("1")
    if query.startswith("?wall"):  # to read, not to press
        expect(page.locator("#filters button:visible")).to_have_count(0)
        expect(page.locator("#filters").get_by_text("Page: /pricing")).to_be_visible()
    else:
        expect(chip(page, "Page: /pricing")).to_be_visible()
    assert faults_of(page) == []
    page.set_viewport_size({"width": 320, "height": 700})
    assert board.call("document.documentElement.scrollWidth") <= 320
