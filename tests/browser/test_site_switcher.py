"""The way home, and the switcher of sites that operators have."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.board import Board
from tests.browser.conftest import MakeLive, NewContext, SitesFile, Watched
from tests.browser.private_site import make_share
from tests.browser.site import LiveService
from tests.browser.test_accessible import faults_of

OPERATOR = "the operator's own token, of 32 bytes or more".replace(" ", "-")
SITES = """
[intranet]
public = false
token = "open-sesame"
[blog]
[shop]
public = false
token = "shop-sesame"
"""
MANY = "".join(f"[site-{n}]\n" for n in range(9))


@pytest.fixture
def live(make_live: MakeLive, sites_file: SitesFile) -> LiveService:
    """Three sites: one is public, and the private `shop` has most people."""
    live = make_live(
        SITES_FILE=sites_file(SITES), ADMIN_TOKEN=OPERATOR, SESSION_TIMEOUT="600", LIVE_TICK="0.1"
    )
    live.beat_all("blog", [{"currentPath": "/"}], token=OPERATOR)
    live.beat_all("intranet", [{"currentPath": "/"}] * 2, token="open-sesame")
    live.beat_all("shop", [{"currentPath": "/"}] * 3, token="shop-sesame")
    return live


def enter(page: Page, token: str) -> None:
    page.locator("#token").fill(token)
    page.locator("#token").press("Enter")


def opener(page: Page) -> Locator:
    return page.get_by_role("button", name="Sites", exact=True)


def open_switcher(page: Page) -> Locator:
    opener(page).click()
    switcher = page.get_by_role("dialog", name="Sites")
    expect(switcher.get_by_role("link").first).to_be_visible()
    return switcher


@pytest.mark.parametrize("query, has_way", [("", True), ("?wall", False), ("?embed", False)])
def test_the_way_home(live: LiveService, page: Page, query: str, has_way: bool) -> None:
    Board.open(page, live, "blog", query).expect_now(1)
    home = page.get_by_role("link", name="Start page")
    expect(home).to_have_count(int(has_way))
    if has_way:
        home.click()
        expect(page).to_have_url(f"{live.url}/")


def test_an_operator_goes_from_site_to_site(
    live: LiveService, page: Page, watched: Watched
) -> None:
    watched.allowed += ["status of 401"]
    board = Board.open(page, live, "intranet")
    expect(opener(page)).to_be_hidden()
    enter(page, OPERATOR)
    board.expect_now(2)
    switcher = open_switcher(page)
    expect(switcher.get_by_role("listitem")).to_have_text(["shop3", "intranet2", "blog1"])
    expect(switcher.locator("[aria-current=page]")).to_have_text(re.compile("intranet"))
    expect(switcher.get_by_role("searchbox")).to_be_hidden()
    assert faults_of(page) == []

    page.keyboard.press("Escape")
    expect(switcher).to_be_hidden()
    expect(opener(page)).to_be_focused()
    switcher = open_switcher(page)
    expect(switcher.get_by_role("link").first).to_be_focused()
    page.keyboard.press("Enter")
    board.expect_now(3)  # private as well: nobody is asked again
    assert page.url == f"{live.url}/sites/shop"
    open_switcher(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    board.expect_now(1)
    assert page.url == f"{live.url}/sites/blog"
    page.reload()
    expect(opener(page)).to_be_visible()
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]


def test_on_a_public_site_the_address_asks_for_the_token(
    live: LiveService, page: Page, watched: Watched
) -> None:
    watched.allowed += ["status of 401", "status of 403"]
    board = Board.open(page, live, "blog", "#operator")
    board.expect_now(1)
    expect(page.get_by_label("All sites are for operators.")).to_be_focused()
    enter(page, "guess")
    expect(page.locator("#token-form-text")).to_have_text("That token is not valid.")
    expect(opener(page)).to_be_hidden()
    enter(page, OPERATOR)
    expect(opener(page)).to_be_visible()
    expect(page.locator("#token-form")).to_be_hidden()
    board.expect_now(1)


def test_nobody_else_has_a_switcher(
    live: LiveService, new_context: NewContext, watched: Watched
) -> None:
    watched.allowed += ["status of 401", "status of 403"]
    page = new_context().new_page()
    board = Board.open(page, live, "intranet")
    with page.expect_response("**/v1/sites") as refusal:
        enter(page, "open-sesame")
    assert refusal.value.status in (401, 403)
    board.expect_now(2)
    expect(opener(page)).to_be_hidden()
    shared = new_context().new_page()
    Board.open(shared, live, "intranet", f"#share={make_share(live)}").expect_now(2)
    expect(opener(shared)).to_be_hidden()


def test_many_are_searched(
    make_live: MakeLive, page: Page, sites_file: SitesFile, watched: Watched
) -> None:
    live = make_live(SITES_FILE=sites_file(MANY), ADMIN_TOKEN=OPERATOR, SESSION_TIMEOUT="600")
    live.beat_all("site-4", [{"currentPath": "/"}], token=OPERATOR)
    page.set_viewport_size({"width": 320, "height": 640})
    board = Board.open(page, live, "site-4", "?theme=dark#operator")
    board.expect_now(1)
    enter(page, OPERATOR)
    switcher = open_switcher(page)
    search = switcher.get_by_role("searchbox")
    expect(search).to_be_focused()
    expect(switcher.get_by_role("link")).to_have_count(9)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    search.fill("nowhere")
    expect(switcher.locator("output")).to_have_text("No site is named like that.")
    search.fill("E-7")
    expect(switcher.get_by_role("link")).to_have_text(["site-70"])
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{live.url}/sites/site-7?theme=dark")
