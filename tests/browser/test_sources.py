"""Where visitors come from: a page that says it, and the tabs and the filter of the stats page."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.board import Board
from tests.browser.conftest import NewContext
from tests.browser.site import LiveService
from tests.browser.test_accessible import faults_of
from tests.browser.test_filters import BERLIN, SITE_WIDE, chip, site_wide
from tests.browser.web import answer_page, web_server
from tests.servers import wait_until

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Version/17.5 Mobile/15E148 Safari"
AD = {"source": "news.example", "medium": "email", "campaign": "Spring Sale", "device": "phone"}


def tab(page: Page, name: str) -> Locator:
    return page.get_by_role("tab", name=name)


@pytest.fixture
def board(calm: LiveService, site: str, page: Page) -> Board:
    """Three of a newsletter, one in Germany; two who came directly; one who does not say."""
    calm.beat_all(site, [{"currentPath": "/sale", **AD}] * 2)
    calm.beat_all(site, [{"currentPath": "/sale", **AD, **BERLIN}])
    calm.beat_all(site, [{"currentPath": "/", "source": "", "device": "desktop"}] * 2)
    calm.beat_all(site, [{"currentPath": "/"}])
    page.set_viewport_size({"width": 1280, "height": 1600})
    board = Board.open(page, calm, site)
    board.expect_now(6, home=3, sale=3)
    return board


def test_a_visitor_who_was_sent_here(calm: LiveService, site: str, new_context: NewContext) -> None:
    src = f"{calm.url}/presence-source.js"
    tag = f'<script defer src="{src}" data-site="{site}" data-allow-localhost></script>'
    page = new_context(user_agent=IPHONE).new_page()
    with web_server(lambda request: answer_page(request, tag)) as shop:
        link = f'<a href="http://127.0.0.1:{shop}/sale?page=2">a sale</a>'
        with web_server(lambda request: answer_page(request, link)) as blog:
            page.goto(f"http://localhost:{blog}/post?id=secret")
            page.get_by_role("link").click()
        wait_until(lambda: "activeBySource" in stats(calm, site), what="the visitor is counted")
        assert stats(calm, site)["activeBySource"] == [{"source": f"localhost:{blog}", "count": 1}]
        assert stats(calm, site)["activeByDevice"] == [{"device": "phone", "count": 1}]
        # They came as they came, whatever the next page says.
        page.goto(f"http://127.0.0.1:{shop}/other?utm_source=Later&utm_campaign=x")
        wait_until(
            lambda: stats(calm, site)["activeByPath"] == [{"path": "/other", "count": 1}],
            what="the visitor has moved",
        )
        assert stats(calm, site)["activeBySource"] == [{"source": f"localhost:{blog}", "count": 1}]
        assert stats(calm, site)["activeByCampaign"] == []


def stats(service: LiveService, site: str) -> dict[str, object]:
    found: dict[str, object] = service.get(f"/v1/sites/{site}/stats").json()
    return found


def test_tabs(board: Board) -> None:
    page = board.page
    expect(tab(page, "Countries")).to_have_attribute("aria-selected", "true")
    expect(board.row("Germany", "countries")).to_be_visible()
    tab(page, "Sources").click()
    expect(page.locator("#countries")).to_be_hidden()
    expect(page.locator("#sources")).to_be_visible()
    assert board.rows("sources") == [("news.example", 3), ("direct", 2)]
    assert board.rows("campaigns") == [("Spring Sale", 3)]
    expect(page.locator("#sources-sum")).to_have_text("known of 5 people")
    page.keyboard.press("ArrowRight")
    expect(tab(page, "Devices")).to_be_focused()
    expect(page.locator("#devices")).to_be_visible()
    assert board.rows("devices") == [("Phone", 3), ("Desktop", 2)]
    page.keyboard.press("ArrowRight")
    expect(tab(page, "Countries")).to_be_focused()
    expect(page.locator("#map-dots circle")).to_have_count(1)


def test_a_source_filters_what_can_follow(calm: LiveService, site: str, board: Board) -> None:
    page = board.page
    tab(page, "Sources").click()
    board.row("news.example", "sources").get_by_role("button").click()
    expect(chip(page, "Source: news.example")).to_be_visible()
    expect(board.now).to_have_text("3")
    expect(page.locator("#active-label")).to_have_text("people from news.example now")
    expect(page.locator("#filter")).to_have_text("of 6 people on the site.")
    expect(page).to_have_title(f"3 from news.example · {site}")
    expect(page).to_have_url(re.compile(r"\?source=news\.example$"))
    assert site_wide(page) == SITE_WIDE | {"Page views", "Pages now", "Top pages", "Activity"}
    tab(page, "Devices").click()
    assert "Devices now" in site_wide(page)

    page.reload()  # as one who was sent the URL: what is filtered by is seen
    expect(tab(page, "Sources")).to_have_attribute("aria-selected", "true")
    expect(board.now).to_have_text("3")
    page.go_back()
    board.expect_now(6, home=3, sale=3)
    board.row("direct", "sources").get_by_role("button").click()
    expect(page.locator("#active-label")).to_have_text("people who came directly now")
    expect(board.now).to_have_text("2")


def test_sources_follow(calm: LiveService, site: str, board: Board) -> None:
    """Sooner than the numbers are fetched anew, every 13 s at the earliest."""
    page = board.page
    tab(page, "Sources").click()
    board.row("news.example", "sources").get_by_role("button").click()
    new = calm.visitor(site, source="new.example", medium="cpc", campaign="Autumn").at("/")
    news = calm.visitor(site, **AD | {"source": "news.example"}).at("/")
    expect(board.now).to_have_text("4", timeout=5_000)
    expect(board.count("new.example", "sources")).to_have_text("1")
    expect(board.count("Autumn", "campaigns")).to_have_text("1")
    new.leave()
    news.leave()
    expect(board.now).to_have_text("3", timeout=8_000)
    expect(board.count("new.example", "sources")).to_have_text("0")


def test_a_source_and_a_page(calm: LiveService, site: str, board: Board) -> None:
    """What says that it is of the whole site is."""
    page = Board.open(board.page, calm, site, "?page=/sale&source=news.example").page
    expect(board.now).to_have_text("3")
    expect(page.locator("#filter")).to_contain_text("From all sources")
    expect(page.locator("#views")).to_have_text("6")
    expect(board.feed).to_have_count(6)
    assert {"Page views", "Activity"} <= site_wide(page)
    Board.open(page, calm, site, "?country=DE&source=news.example")
    expect(board.now).to_have_text("1")
    expect(board.feed).to_have_count(6)


def test_all_sources(calm: LiveService, site: str, board: Board) -> None:
    page = board.page
    calm.beat_all(site, [{"currentPath": "/", "source": f"s{n}.example"} for n in range(12)])
    tab(page, "Sources").click()
    page.locator("#sources .other button").click()
    panel = page.locator("#browse")
    expect(panel.get_by_role("heading")).to_have_text("All sources")
    panel.get_by_role("searchbox").fill("s11")
    panel.get_by_role("button", name="s11.example").click()
    expect(chip(page, "Source: s11.example")).to_be_visible()
    expect(board.now).to_have_text("1")


def test_a_site_that_does_not_say_it_has_no_tabs(calm: LiveService, site: str, page: Page) -> None:
    calm.beat_all(site, [{"currentPath": "/", **BERLIN}])
    Board.open(page, calm, site)
    expect(page.locator("#countries")).to_be_visible()
    expect(page.get_by_role("tab")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_by_everybody(
    calm: LiveService, site: str, board: Board, new_context: NewContext, scheme: str, tmp_path: Path
) -> None:
    page = new_context(color_scheme=scheme, reduced_motion="reduce").new_page()
    page.set_viewport_size({"width": 1280, "height": 1600})
    Board.open(page, calm, site, "?source=news.example")
    expect(page.locator("#sources")).to_be_visible()
    assert faults_of(page) == []
    page.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
    page.set_viewport_size({"width": 320, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.screenshot(path=tmp_path / f"{scheme}-phone.png", full_page=True)
