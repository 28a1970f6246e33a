"""The stats page in Chromium: what it shows at each step is what is so."""

from playwright.sync_api import Page, expect

from tests.browser.site import LiveService


def test_the_number_follows(live: LiveService, page: Page) -> None:
    page.goto(f"{live.url}/sites/blog")
    now = page.locator("#now")
    expect(now).to_have_text("0")
    visitor = live.visitor().at("/")
    expect(now).to_have_text("1")
    visitor.leave()
    expect(now).to_have_text("0")
