"""The stats page's map: who is in it, what overlaps, and what is said of each part."""

import itertools
import math
import re
from typing import Any, Literal

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.board import Board
from tests.browser.conftest import NewContext, Watched
from tests.browser.crowd import Crowd
from tests.browser.site import LiveService
from tests.browser.test_accessible import faults_of

BERLIN = {"country": "DE", "city": "Berlin", "latitude": 52.5, "longitude": 13.4}
POTSDAM = {"country": "DE", "city": "Potsdam", "latitude": 52.4, "longitude": 13.1}
LAGOS = {"country": "NG", "city": "Lagos", "latitude": 6.5, "longitude": 3.4}
SYDNEY = {"country": "AU", "city": "Sydney", "latitude": -33.9, "longitude": 151.2}
DESK = {"width": 1280, "height": 1400}


def come(service: LiveService, site: str, *crowds: tuple[int, dict[str, Any]]) -> None:
    """That many from each place."""
    beats = [{"currentPath": "/", **place} for count, place in crowds for _ in range(count)]
    service.beat_all(site, beats)


def open_map(page: Page, service: LiveService, site: str, people: int, query: str = "") -> Board:
    """The page, once its map is drawn."""
    board = Board.open(page, service, site, query)
    expect(board.now).to_have_text(f"{people:,}")
    expect(page.locator("#map-land path").first).to_be_attached()
    page.locator("#map").scroll_into_view_if_needed()
    return board


@pytest.fixture
def page(new_context: NewContext) -> Page:
    """Nothing moves by itself."""
    return new_context(viewport=DESK, reduced_motion="reduce").new_page()


def circles(page: Page) -> list[tuple[float, float, float]]:
    """Where the dots are, and their radius."""
    found: list[list[float]] = page.evaluate(
        """() => [...document.querySelectorAll("#map-dots circle")]
          .map((dot) => ["cx", "cy", "r"].map((name) => Number(dot.getAttribute(name))))"""
    )
    return [(x, y, radius) for x, y, radius in found]


def shaded(page: Page) -> dict[str, float]:
    """How dark each country is in which somebody is."""
    found: dict[str, str] = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("#map-land [data-people]")]
          .map((shape) => [shape.dataset.country, shape.style.getPropertyValue("--share")]))"""
    )
    return {code: float(share) for code, share in found.items()}


def label(page: Page) -> Locator:
    """What is said beside a mark."""
    return page.locator(".map-label")


def mark(page: Page, name: str) -> Locator:
    """A dot or country, by its name."""
    return page.locator("#map").get_by_role("img", name=name, exact=True)


def middle(part: Locator) -> tuple[float, float]:
    """Its middle in the window."""
    box = part.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_countries_are_shaded(calm: LiveService, site: str, page: Page) -> None:
    """Those as well that are too small to be drawn, or are drawn with another country."""
    small = ("SG", "MT", "RE", "GF", "XK", "HK")
    everybody = [(30, {"country": "DE"}), (5, {"country": "BR"})]
    come(calm, site, *everybody, *((1, {"country": code}) for code in small), (2, {}))
    open_map(page, calm, site, 43)
    shades = shaded(page)
    assert set(shades) == {"DE", "BR", *small}
    assert 1 == shades["DE"] > shades["BR"] > shades["SG"] > 0
    for code in small:
        assert page.locator(f"#map-land [data-country={code}]").is_visible(), code
    expect(page.locator("#map-land [data-country=KI]")).to_be_hidden()  # nobody, nor to be seen
    expect(page.locator("#map-dots circle")).to_have_count(0)  # no places are known
    expect(page.locator("#elsewhere")).to_have_text("")
    come(calm, site, (1, {"country": "FR"}))
    expect(page.locator("#map-land [data-country=FR]")).to_have_attribute("data-people", "")


def test_dots_that_overlap_become_one(calm: LiveService, site: str, page: Page) -> None:
    come(calm, site, (6, BERLIN), (3, POTSDAM), (9, LAGOS), (1, SYDNEY))
    open_map(page, calm, site, 19)
    expect(page.locator("#map-dots circle")).to_have_count(3)
    expect(mark(page, "Berlin 6, Potsdam 3: 9 people")).to_be_visible()
    sizes = sorted(radius for _, _, radius in circles(page))
    assert sizes[1] == sizes[2]
    assert sizes[2] == pytest.approx(3 * sizes[0], abs=0.2), "areas are people"


@pytest.mark.parametrize("width", [1280, 390, 320])
@pytest.mark.parametrize("people", [60, 1000])
def test_no_crowd_makes_dots_overlap(
    calm: LiveService, site: str, page: Page, width: int, people: int
) -> None:
    Crowd(site).arrive(calm, people)
    page.set_viewport_size({"width": width, "height": 900})
    board = open_map(page, calm, site, people)
    dots = circles(page)
    assert len(dots) > 3
    for (x, y, r), (other_x, other_y, other_r) in itertools.combinations(dots, 2):
        assert math.hypot(x - other_x, y - other_y) >= r + other_r - 0.2  # as they are rounded
    least = min(radius for _, _, radius in dots) * board.call("map.clientWidth") / 1000
    assert least > 3.5, "a dot for each that can be seen"
    said = page.locator("#map-dots circle").evaluate_all("(dots) => dots.map((d) => d.ariaLabel)")
    in_dots = sum(int(re.findall(r"(\d+) (?:person|people)$", text)[0]) for text in said)
    elsewhere = re.findall(r"\d+", page.locator("#elsewhere").inner_text())
    assert in_dots + int(elsewhere[0]) == people


def test_the_rest_is_named(calm: LiveService, site: str, page: Page) -> None:
    come(calm, site, (12, BERLIN), (3, SYDNEY), (1400, {"country": "DE"}), (7, {}))
    open_map(page, calm, site, 1422)
    rest = page.locator("#elsewhere")
    expect(rest).to_have_text("+1,407 elsewhere")
    page.get_by_role("button", name="Germany").click()
    expect(rest).to_have_text("+1,400 elsewhere")
    expect(page.locator("#map-dots circle")).to_have_count(1)
    page.go_back()
    page.get_by_role("button", name="Australia").click()
    expect(rest).to_have_text("")


def test_labels_by_keyboard(calm: LiveService, site: str, page: Page) -> None:
    come(calm, site, (3, BERLIN), (2, LAGOS), (1, SYDNEY))
    open_map(page, calm, site, 6)
    page.locator("#places").get_by_role("button").first.focus()
    page.keyboard.press("Shift+Tab")
    expect(mark(page, "Berlin, Germany: 3 people")).to_be_focused()
    expect(label(page)).to_be_visible()
    expect(label(page).locator("strong")).to_have_text("3 people")
    for key, name in [
        ("ArrowRight", "Lagos, Nigeria: 2 people"),
        ("ArrowDown", "Sydney, Australia: 1 person"),
        ("ArrowRight", "Germany: 3 people"),  # after the dots the countries
        ("End", "Australia: 1 person"),
        ("ArrowRight", "Australia: 1 person"),
        ("Home", "Berlin, Germany: 3 people"),
        ("ArrowLeft", "Berlin, Germany: 3 people"),
    ]:
        page.keyboard.press(key)
        expect(mark(page, name)).to_be_focused()
        expect(label(page)).to_be_visible()
    assert faults_of(page) == []
    page.keyboard.press("Escape")
    expect(label(page)).to_be_hidden()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    expect(label(page)).to_be_hidden()
    page.keyboard.press("Shift+Tab")  # where it was
    expect(mark(page, "Lagos, Nigeria: 2 people")).to_be_focused()


def test_the_focus_survives_its_dot(calm: LiveService, site: str, page: Page) -> None:
    page.clock.install()
    come(calm, site, (3, BERLIN))
    ann = calm.visitor(site, **SYDNEY).at("/")
    open_map(page, calm, site, 4)
    mark(page, "Sydney, Australia: 1 person").focus()
    ann.leave()
    expect(page.locator("#active")).to_have_text("3")
    page.clock.fast_forward(20_000)
    expect(page.locator("#map-dots circle")).to_have_count(1)
    expect(mark(page, "Berlin, Germany: 3 people")).to_be_focused()


def test_labels_by_pointer_and_a_click_on_a_country(
    calm: LiveService, site: str, page: Page
) -> None:
    come(calm, site, (3, BERLIN), (2, SYDNEY))
    board = open_map(page, calm, site, 5)
    x, y = middle(mark(page, "Sydney, Australia: 2 people"))
    page.mouse.move(x, y)
    expect(label(page)).to_have_text("2 peopleSydney, Australia")
    page.mouse.move(*middle(page.locator("[data-country=AU]")))
    expect(label(page)).to_have_text("2 peopleAustralia")
    page.mouse.move(*middle(page.locator("[data-country=BR]")))
    expect(label(page)).to_be_hidden()
    page.mouse.down()
    page.mouse.up()
    expect(board.now).to_have_text("5")  # nobody is there
    page.mouse.click(*middle(page.locator("[data-country=AU]")))
    expect(board.now).to_have_text("2")
    expect(page.locator("[data-country=AU]")).to_have_attribute("data-selected", "")
    page.mouse.click(*middle(page.locator("[data-country=AU]")))
    expect(board.now).to_have_text("5")


def test_labels_by_touch(calm: LiveService, site: str, new_context: NewContext) -> None:
    come(calm, site, (3, BERLIN), (2, SYDNEY))
    phone = new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    ).new_page()
    board = open_map(phone, calm, site, 5)
    x, y = middle(mark(phone, "Sydney, Australia: 2 people"))
    phone.touchscreen.tap(x + 12, y)  # a finger is less exact
    expect(label(phone)).to_have_text("2 peopleSydney, Australia")
    box, around = label(phone).bounding_box(), phone.locator("#map").bounding_box()
    assert box
    assert around
    assert around["x"] <= box["x"]
    assert box["x"] + box["width"] <= around["x"] + around["width"] + 1
    expect(board.now).to_have_text("5")  # it was for the label
    phone.locator("#places-title").tap()
    expect(label(phone)).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(
    calm: LiveService, site: str, page: Page, scheme: Literal["light", "dark"]
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 320, "height": 640})
    Crowd(site).arrive(calm, 60)
    board = open_map(page, calm, site, 60)
    page.locator("#map [tabindex='0']").focus()
    expect(label(page)).to_be_visible()
    assert faults_of(page) == []
    assert board.call("document.documentElement.scrollWidth") <= 320


def test_without_land_there_are_dots(
    calm: LiveService, site: str, page: Page, watched: Watched
) -> None:
    watched.allowed += ["ERR_FAILED"]
    page.route("**/world.svg", lambda route: route.abort())
    come(calm, site, (2, BERLIN))
    Board.open(page, calm, site)
    expect(page.locator("#map-dots circle")).to_have_count(1)
    page.unroute("**/world.svg")
    come(calm, site, (1, LAGOS))
    expect(page.locator("#map-land [data-people]")).to_have_count(2)
