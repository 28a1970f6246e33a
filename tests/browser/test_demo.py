"""The demo shop, as one walks about in it."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewContext
from tests.browser.demo import running_demo
from tests.browser.test_accessible import faults_of
from tests.servers import Server

NUMBER = re.compile(r"^\d+$")


@pytest.fixture(scope="module")
def shop(browser_valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where it is."""
    with running_demo(tmp_path_factory.mktemp("demo"), browser_valkey.url, "demo") as url:
        yield f"{url}/demo"


@pytest.fixture
def page(new_context: NewContext, shop: str) -> Iterator[Page]:
    """A page at its door."""
    page = new_context(viewport={"width": 1280, "height": 1600}).new_page()
    page.goto(shop)
    yield page
    page.goto("about:blank")


def test_products_have_counts_and_can_be_opened(page: Page, shop: str) -> None:
    cards = page.locator(".cards li")
    expect(cards).to_have_count(8)
    for card in cards.all():
        expect(card.locator("[data-presence-count]")).to_have_text(NUMBER)
    cards.filter(has_text="Sencha").get_by_role("link").click()
    expect(page).to_have_url(f"{shop}/tea/sencha")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sencha from Uji")
    expect(page).to_have_title("Sencha from Uji · A small shop")
    here = page.locator("main p.here b")
    expect(here).to_have_text(re.compile(r"^[1-9]\d*$"))  # oneself at least
    expect(cards).to_have_count(4)  # more from the shop
    page.get_by_role("button", name="Add to basket").click()
    expect(page.locator("#basket")).to_have_text("1")
    page.go_back()
    expect(cards).to_have_count(8)


def test_a_second_window_counts_on_the_page(page: Page, new_context: NewContext, shop: str) -> None:
    about = f"{shop}/about"
    page.goto(about)
    here = page.locator("main p.here b")
    expect(here).to_have_text(re.compile(r"^[1-9]\d*$"))
    others = [new_context().new_page() for _ in range(4)]
    for other in others:
        other.goto(about)
    expect(here).to_have_text(re.compile(r"^([5-9]|\d\d)$"))
    for other in others:
        other.close()


def test_the_embed_follows_the_page(page: Page) -> None:
    page.get_by_role("link", name="Cups", exact=True).click()
    embed = page.frame_locator("#embed iframe")
    expect(embed.locator("#active")).to_have_text(NUMBER)
    expect(embed.locator("#active-label")).to_contain_text("/demo/cups")
    page.get_by_role("link", name="About us").click()
    expect(embed.locator("#active-label")).to_contain_text("/demo/about")
    page.go_back()  # the frame has put nothing in between
    expect(page.get_by_role("heading", level=1)).to_have_text("Cups")


def test_a_page_that_is_not_there(page: Page, shop: str) -> None:
    page.goto(f"{shop}/tea/coffee")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is no such page")
    expect(page.locator(".cards li")).to_have_count(2)


@pytest.mark.parametrize("path", ["", "/tea/earl-grey", "/blog/how-to-brew"])
def test_everybody_can_use_it(page: Page, shop: str, path: str) -> None:
    page.goto(shop + path)
    expect(page.locator("main p.here b").first).to_have_text(NUMBER)
    assert faults_of(page) == []
    for width in (320, 390):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
