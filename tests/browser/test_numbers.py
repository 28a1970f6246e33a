"""Numbers on the stats page that one believes: estimates say that they are, and how far off."""

import re
import time
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from service.store.keys import Keys
from tests.browser.board import Board
from tests.browser.conftest import CALM_PREFIX, MakeLive, NewContext, Watched
from tests.browser.site import LiveService
from tests.browser.test_accessible import faults_of
from tests.servers import Server


# earlier visitors, people here now, whether the estimate is lost -> what is shown
@pytest.mark.parametrize(
    "earlier, here, is_lost, shown",
    [
        (0, 3, False, r"3"),
        (90, 3, False, r"9[1-5]"),
        (19_800, 3, False, r"≈\s(19,[0-9]|20,[0-9])00"),
        (0, 8, True, r"8"),  # never fewer than are here now
        (0, 1_234, True, r"≈\s1,240"),  # and not by rounding either
    ],
)
@pytest.mark.parametrize("query", ["", "?wall"], ids=["page", "wall"])
def test_unique_visitors(
    calm: LiveService,
    site: str,
    page: Page,
    browser_valkey: Server,
    earlier: int,
    here: int,
    is_lost: bool,
    shown: str,
    query: str,
) -> None:
    keys = Keys(CALM_PREFIX).of_site(site)[0]
    calm.beat_all(site, [{"currentPath": "/"}] * here)
    day = browser_valkey.client.keys(f"{keys.uniques}:*")[0]
    for name in (keys.uniques, day):
        if earlier:
            browser_valkey.client.pfadd(name, *(f"earlier-{n}" for n in range(earlier)))
        if is_lost:
            browser_valkey.client.delete(name)
    Board.open(page, calm, site, query)
    for number in ("#uniques", "#today"):
        expect(page.locator(number)).to_have_text(re.compile(f"^{shown}$"))


def test_at_midnight_the_visitors_of_the_day_are_asked_for_until_it_is_told(
    calm: LiveService, site: str, page: Page, watched: Watched
) -> None:
    """Though nobody comes."""
    watched.allowed += ["status of 503"]
    page.clock.install()
    calm.visitor(site).at("/")
    Board.open(page, calm, site)
    expect(page.locator("#active")).to_have_text("1")
    refused = [503]
    page.route(
        f"**/{site}/stats*",
        lambda route: route.fulfill(status=refused.pop()) if refused else route.continue_(),
    )
    page.clock.set_system_time(time.time() + 86_400)
    for status in (503, 200):
        with page.expect_response(f"**/{site}/stats*") as told:
            page.clock.fast_forward(20_000)
        assert told.value.status == status


# PRESENCE_SESSION_TIMEOUT -> how it is said
@pytest.mark.parametrize(
    "timeout, shown",
    [("120", "2 minutes"), ("60", "minute"), ("90", "90 seconds"), ("1800", "30 minutes")],
)
def test_how_long_one_is_here(make_live: MakeLive, page: Page, timeout: str, shown: str) -> None:
    live = make_live(SESSION_TIMEOUT=timeout)
    live.visitor().at("/")
    Board.open(page, live)
    expect(page.locator("#active-definition")).to_have_text(f"active in the last {shown}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 320])
def test_what_an_estimate_is(
    calm: LiveService,
    site: str,
    new_context: NewContext,
    scheme: Literal["light", "dark"],
    width: int,
) -> None:
    calm.visitor(site).at("/")
    page = new_context(
        color_scheme=scheme, viewport={"width": width, "height": 700}, reduced_motion="reduce"
    ).new_page()
    board = Board.open(page, calm, site)
    note = page.locator("#estimate")
    for button in page.get_by_role("button", name="What an estimate is").all():
        expect(note).to_be_hidden()
        button.click()
        expect(note).to_contain_text("Unique visitors are estimated.")
        box = note.bounding_box()
        assert box
        assert 0 <= box["x"] <= box["x"] + box["width"] <= width
        assert 0 <= box["y"] <= box["y"] + box["height"] <= 700
        assert faults_of(page) == []
        page.keyboard.press("Escape")
        expect(note).to_be_hidden()
        expect(button).to_be_focused()
        page.keyboard.press("Enter")
        expect(note).to_be_visible()
        page.mouse.click(5, 5)
        expect(note).to_be_hidden()
    assert board.call("document.documentElement.scrollWidth") <= width
