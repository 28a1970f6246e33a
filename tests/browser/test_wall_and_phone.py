"""The wall, which nobody can touch, and the phone, which has fingers."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.board import Board
from tests.browser.conftest import NewContext
from tests.browser.crowd import Crowd
from tests.browser.site import LiveService

TURN_MS, HAND_MS = 15_000, 4_000  # as in client/pages/wall.js
LEAST_TARGET = 44  # px: WCAG 2.2, 2.5.5


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_panels_take_turns(
    calm: LiveService, site: str, new_context: NewContext, motion: str
) -> None:
    page = new_context(reduced_motion=motion).new_page()
    page.clock.install()
    Crowd(site).arrive(calm, 30)
    board = Board.open(page, calm, site, "?wall")
    dashboard = page.locator("#dashboard")
    expect(dashboard).to_have_attribute("data-turn", "pages")
    expect(board.feed.first).to_be_attached()
    for name in ("chart", "feed", "places", "pages"):
        page.clock.fast_forward(TURN_MS)
        expect(dashboard).to_have_attribute("data-turn", name)
        for panel in ("pages", "chart", "feed", "places"):
            expect(page.locator(f"section.{panel}")).to_be_visible(visible=panel == name)


def test_what_has_nothing_to_say_has_no_turn(calm: LiveService, site: str, page: Page) -> None:
    page.clock.install()
    calm.visitor(site).at("/")  # from nowhere that is known
    board = Board.open(page, calm, site, "?wall")
    expect(board.feed.first).to_be_attached()
    for name in ("chart", "feed", "pages"):
        page.clock.fast_forward(TURN_MS)
        expect(page.locator("#dashboard")).to_have_attribute("data-turn", name)


def test_a_hand_stops_and_turns_them(calm: LiveService, site: str, page: Page) -> None:
    """Whoever reads may take their time; and there is a way off the wall."""
    page.clock.install()
    Crowd(site).arrive(calm, 30)
    Board.open(page, calm, site, "?wall")
    dashboard, way_off = page.locator("#dashboard"), page.locator(".page-link")
    expect(dashboard).to_have_attribute("data-turn", "pages")
    expect(way_off).to_be_hidden()
    page.keyboard.press("ArrowRight")
    expect(dashboard).to_have_attribute("data-turn", "chart")
    expect(way_off).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(dashboard).to_have_attribute("data-turn", "pages")
    page.keyboard.press("Space")
    expect(page.locator(".turn-note")).to_contain_text("Paused")
    page.clock.fast_forward(HAND_MS)
    expect(way_off).to_be_hidden()
    page.clock.fast_forward(3 * TURN_MS)
    expect(dashboard).to_have_attribute("data-turn", "pages")
    page.keyboard.press("Space")
    page.clock.fast_forward(HAND_MS)
    page.clock.fast_forward(TURN_MS)
    expect(dashboard).to_have_attribute("data-turn", "chart")
    page.mouse.move(300, 300)
    page.mouse.move(310, 310)
    way_off.click()
    expect(page).to_have_url(re.compile(rf"/{re.escape(site)}\?$"))
    expect(page.locator("#pause")).to_be_visible()


def test_nobody_is_offered_what_they_cannot_press(calm: LiveService, site: str, page: Page) -> None:
    Crowd(site).arrive(calm, 60)
    board = Board.open(page, calm, site, "?wall&page=%2Fpricing")
    expect(board.row("/pricing")).to_be_visible()
    expect(page.locator("#dashboard")).to_have_attribute("data-turn", "pages")
    for _ in range(4):
        pressable = board.call(
            """() => [...document.querySelectorAll("button, a, input, select, [role=button]")]
              .filter((one) => one.checkVisibility({visibilityProperty: true}))
              .filter((one) => !one.closest("[inert]"))
              .map((one) => one.outerHTML)"""
        )
        assert [one for one in pressable if "page-link" not in one] == []
        page.keyboard.press("ArrowRight")


@pytest.mark.parametrize(
    "width, height", [(1920, 1080), (3840, 2160), (1280, 1024), (1080, 1920), (800, 480)]
)
@pytest.mark.parametrize("people", [7, 128, 1999])
def test_the_number_fills_the_wall(
    calm: LiveService, site: str, page: Page, width: int, height: int, people: int
) -> None:
    """And is whole: on a wall nobody scrolls."""
    page.set_viewport_size({"width": width, "height": height})
    calm.beat_all(site, [{"currentPath": f"/{n % 9}"} for n in range(people)])
    board = Board.open(page, calm, site, "?wall")
    expect(board.now).to_have_text(f"{people:,}")
    found: dict[str, Any] = board.call(
        """() => {
          const range = document.createRange();
          range.selectNodeContents(document.querySelector("#active"));
          const [text, part] = [range, document.querySelector("section.active")]
            .map((one) => one.getBoundingClientRect().toJSON());
          const {scrollWidth, scrollHeight} = document.documentElement;
          return {text, part, scrollWidth, scrollHeight};
        }"""
    )
    text, part = found["text"], found["part"]
    assert text["right"] <= part["right"]
    assert text["width"] > 0.75 * part["width"] or text["height"] > 0.25 * height
    assert (found["scrollWidth"], found["scrollHeight"]) == (width, height)
    label, numeral = page.locator("#active-label").bounding_box(), board.now.bounding_box()
    assert label
    assert numeral
    assert numeral["y"] >= 0
    assert label["y"] >= numeral["y"] + numeral["height"] - 1
    assert label["y"] + label["height"] <= part["bottom"]


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_has_the_pages_first(
    calm: LiveService, site: str, new_context: NewContext, width: int
) -> None:
    context = new_context(viewport={"width": width, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    Crowd(site).arrive(calm, 60)
    board = Board.open(page, calm, site)
    expect(board.row("/")).to_be_visible()
    order = board.call(
        """() => [...document.querySelectorAll("#dashboard > section")]
          .map((section) => [section.getBoundingClientRect().top, section.className])"""
    )
    assert [name for _, name in order[:3]] == ["active", "pages", "chart"]
    assert [name for _, name in sorted(order)] == [name for _, name in order], "as it is read"
    page.set_viewport_size({"width": 1280, "height": 844})
    expect(page.locator(".totals + .pages")).to_be_visible()
    page.set_viewport_size({"width": width, "height": 844})
    expect(page.locator(".active + .pages")).to_be_visible()


@pytest.mark.parametrize("width", [320, 390])
def test_fingers_hit(calm: LiveService, site: str, new_context: NewContext, width: int) -> None:
    """Whatever is to be tapped is 44 px high and wide, and nothing sticks out."""
    context = new_context(viewport={"width": width, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    calm.beat_all(site, [{"currentPath": f"/{n % 40}"} for n in range(80)])
    board = Board.open(page, calm, site, "?page=%2F1")
    expect(board.row("/1")).to_be_visible()

    def small() -> list[str]:
        found: list[str] = board.call(
            """(least) => [...document.querySelectorAll("button, a, input, select, [role=tab]")]
              .filter((one) => one.checkVisibility({visibilityProperty: true}))
              .filter((one) => !one.closest("p") || one.matches("button"))  // no words of a text
              .map((one) => [one, (one.closest("label") ?? one).getBoundingClientRect()])
              .filter(([, box]) => box.width && (box.height < least || box.width < least))
              .map(([one, box]) => `${box.width}x${box.height} ${one.outerHTML.slice(0, 120)}`)""",
            LEAST_TARGET,
        )
        return found

    assert small() == []
    page.locator("#pages .other button").tap()
    expect(page.locator("#browse table button").first).to_be_visible()
    assert small() == []
    assert board.call("document.documentElement.scrollWidth") <= width
