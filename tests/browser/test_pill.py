"""`?pill`: one line in another page."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewContext, Watched
from tests.browser.private_site import make_share
from tests.browser.site import LiveService
from tests.browser.test_accessible import faults_of


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "query, count, noun",
    [
        ("", "3", "people here now"),
        ("&page=/a", "1", "person on /a now"),
        ("&country=de", "1", "person in Germany now"),
        ("&source=ad.example", "1", "person from ad.example now"),
    ],
)
def test_it_counts_live(
    calm: LiveService,
    site: str,
    new_context: NewContext,
    scheme: str,
    query: str,
    count: str,
    noun: str,
) -> None:
    details = {"country": "DE", "source": "ad.example"}
    calm.beat_all(site, [{"currentPath": "/"}] * 2 + [{"currentPath": "/a", **details}])
    context = new_context(color_scheme=scheme, viewport={"width": 230, "height": 46})
    page = context.new_page()
    page.goto(f"{calm.url}/sites/{site}?pill&accent=f0c{query}")
    expect(page.locator("#pill")).to_have_text(re.compile(rf"^{count}\s+{noun}$"))
    assert faults_of(page) == []
    box = page.locator("#pill").bounding_box()
    assert box
    assert box["height"] >= 44
    assert page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    ) == [230, 46]
    calm.visitor(site, **details).at("/a")
    expect(page.locator("#count")).to_have_text(str(int(count) + 1))
    with page.expect_popup() as opened:
        page.locator("#pill").click()
    expect(opened.value.locator("#active")).to_have_text(str(int(count) + 1))


def test_a_country_is_right_after_a_crowd(calm: LiveService, site: str, page: Page) -> None:
    """Of whom a change names the last twenty."""
    page.clock.install()
    calm.visitor(site, country="DE").at("/")
    page.goto(f"{calm.url}/sites/{site}?pill&country=de")
    count = page.locator("#count")
    expect(count).to_have_text("1")
    calm.beat_all(site, [{"currentPath": "/", "country": "DE"}] * 60)
    expect(count).not_to_have_text("1")
    page.clock.fast_forward(20_000)
    expect(count).to_have_text("61")


def test_a_private_site(
    private: LiveService,
    new_context: NewContext,
    watched: Watched,
) -> None:
    watched.allowed += ["status of 401"]
    page = new_context().new_page()
    page.goto(f"{private.url}/sites/intranet?pill")
    expect(page.locator("#pill")).to_have_text(re.compile(r"^–\s+not public$"))
    page.goto("about:blank")
    page.goto(f"{private.url}/sites/intranet?pill#share={make_share(private)}")
    expect(page.locator("#count")).to_have_text("2")
    with page.expect_popup() as opened:
        page.locator("#pill").click()
    expect(opened.value.locator("#active")).to_have_text("2")
