"""The stats page's lists hold still: what is aimed at is what is clicked."""

import contextlib
import random
import re
import threading
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.board import Board
from tests.browser.conftest import NewContext
from tests.browser.crowd import PAGES
from tests.browser.site import LiveService

AIMS = 50
# What is under a point: the label of its row.
UNDER = """([x, y]) => document.elementFromPoint(x, y)?.closest(".row")
  ?.querySelector(".label").textContent ?? null"""
MIDDLE = """(n) => {
  const {left, top, width, height} = document.querySelectorAll("#pages li")[n]
    .getBoundingClientRect();
  return [left + width / 2, top + height / 2];
}"""
COUNT_CHANGES = """() => {
  window.changes = 0;
  new MutationObserver(() => window.changes++).observe(
    document.querySelector("#pages"), {childList: true, subtree: true, characterData: true});
}"""
# A person needs 0.7 s to click what they aim at, by the page's clock, and meanwhile the list has
# changed twice.
HESITATION_MS = 700
HAS_CHANGED = "(before) => window.changes >= before + 2"


@contextlib.contextmanager
def walking(service: LiveService, site: str, people: int) -> Iterator[None]:
    """That many visitors, one of whom is on another page at every moment, until the end of the
    block."""
    dice = random.Random(3)
    visitors = [service.visitor(site).at(dice.choice(PAGES)) for _ in range(people)]
    is_over = threading.Event()
    failures: list[Exception] = []

    def walk() -> None:
        try:
            while not is_over.wait(0.03):
                dice.choice(visitors).at(dice.choice(PAGES))
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=walk)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
    assert not failures


def test_what_is_aimed_at_is_what_is_clicked(
    calm: LiveService, site: str, new_context: NewContext
) -> None:
    page = new_context(
        viewport={"width": 1280, "height": 1400}, reduced_motion="no-preference"
    ).new_page()
    page.clock.install()
    with walking(calm, site, 45):
        board = Board.open(page, calm, site)
        expect(page.locator("#pages .row")).to_have_count(13)
        board.call(COUNT_CHANGES)
        chosen: str | None = None
        for n in range(AIMS):
            page.mouse.move(4, 4)  # away from the list, so that it goes on
            point = board.call(MIDDLE, n * 7 % 12)
            page.mouse.move(*point)
            aimed = board.call(UNDER, point)
            assert aimed is not None
            page.wait_for_function(HAS_CHANGED, arg=board.call("window.changes"))
            page.clock.run_for(HESITATION_MS)
            page.mouse.down()
            page.mouse.up()
            chosen = None if aimed == chosen else aimed
            where = f"on {re.escape(chosen)}" if chosen else "here"
            expect(page).to_have_title(re.compile(rf"^\d+ {where} · "))


def order(board: Board) -> list[str]:
    """The pages, as they are listed."""
    return [label for label, _ in board.rows()]


@pytest.fixture
def board(calm: LiveService, site: str, new_context: NewContext) -> Board:
    """Three pages, of which /c has just come to the front; from here on the clock stands."""
    for name, count in (("a", 3), ("b", 2), ("c", 1)):
        calm.beat_all(site, [{"currentPath": f"/{name}"}] * count)
    page = new_context(has_touch=True).new_page()
    page.clock.install(time="2026-01-01T12:00:00Z")
    board = Board.open(page, calm, site)
    expect(board.now).to_have_text("6")
    page.clock.pause_at("2026-01-01T12:00:30Z")
    assert order(board) == ["/a", "/b", "/c"]
    calm.beat_all(site, [{"currentPath": "/c"}] * 4)
    expect(board.count("/c")).to_have_text("5")
    assert order(board) == ["/c", "/a", "/b"]
    return board


def test_the_order_changes_once_in_four_seconds(calm: LiveService, site: str, board: Board) -> None:
    calm.beat_all(site, [{"currentPath": "/b"}] * 9)
    expect(board.count("/b")).to_have_text("11")
    assert order(board) == ["/c", "/a", "/b"]
    gone = calm.visitor(site).at("/new")
    expect(board.count("/new")).to_have_text("1")
    assert order(board) == ["/c", "/a", "/b", "/new"], "who is new comes last"
    gone.at("/a")
    expect(board.count("/new")).to_have_text("0")
    assert sum(count for _, count in board.rows()) == 20
    board.page.clock.run_for(3_900)
    assert order(board) == ["/c", "/a", "/b", "/new"]
    board.page.clock.run_for(200)
    assert order(board) == ["/b", "/c", "/a"]


# how the list is held, how it is let go, and for how long it is held after that, ms
Do = Callable[[Page], None]
HOLDS: dict[str, tuple[Do, Do, int]] = {
    "pointer": (
        lambda page: page.locator("#pages li").nth(1).hover(),
        lambda page: page.mouse.move(2, 2),
        0,
    ),
    "focus": (
        lambda page: page.locator("#pages button").first.press("Tab"),
        lambda page: page.locator("[data-span]").first.focus(),
        0,
    ),
    "finger": (
        lambda page: page.locator("#pages-title").evaluate(TOUCH, ["#pages li", "pointerdown"]),
        lambda page: page.locator("#pages-title").evaluate(TOUCH, ["#pages li", "pointerup"]),
        4_000,
    ),
}
TOUCH = """(_, [where, type]) => document.querySelector(where)
  .dispatchEvent(new PointerEvent(type, {pointerType: "touch", bubbles: true}))"""


@pytest.mark.parametrize("name", HOLDS)
def test_the_order_is_kept_while_a_list_is_held(
    calm: LiveService, site: str, board: Board, name: str
) -> None:
    hold, let_go, after_ms = HOLDS[name]
    hold(board.page)
    calm.beat_all(site, [{"currentPath": "/b"}] * 9)
    expect(board.count("/b")).to_have_text("11")
    board.page.clock.run_for(20_000)
    assert order(board) == ["/c", "/a", "/b"]
    let_go(board.page)
    if after_ms:
        board.page.clock.run_for(after_ms - 100)
        assert order(board) == ["/c", "/a", "/b"], "the finger may come back"
    board.page.clock.run_for(200)
    assert order(board) == ["/b", "/c", "/a"]
