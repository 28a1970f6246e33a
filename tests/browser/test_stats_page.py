"""The stats page in Chromium: what it shows at each step is what is so."""

import re
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from playwright.sync_api import Page, expect

from service.store.keys import Keys
from tests.browser.board import Board
from tests.browser.conftest import CALM_PREFIX, MakeLive, NewContext, SitesFile, Watched
from tests.browser.crowd import Crowd
from tests.browser.site import LiveService, numbers_in
from tests.servers import Server

STAYS = {"SESSION_TIMEOUT": "600"}  # nobody times out while a test looks


def test_the_numbers_follow(calm: LiveService, site: str, page: Page) -> None:
    ann, ben = calm.visitor(site, country="DE").at("/"), calm.visitor(site)
    board = Board.open(page, calm, site)
    board.expect_now(1, home=1)

    ben.at("/pricing")
    board.expect_now(2, home=1, pricing=1)
    expect(page.locator("#views")).to_have_text("2")
    expect(page.locator("#uniques")).to_have_text("2")
    expect(page.locator("#today")).to_have_text("2")

    ann.at("/pricing")
    expect(page.locator("#pages li[data-change=up] .delta")).to_have_text("+1")
    board.expect_now(2, home=0, pricing=2)
    expect(page.locator("#views")).to_have_text("3")

    ben.leave()
    board.expect_now(1, pricing=1)
    expect(board.count("Germany", "countries")).to_have_text("1")
    expect(board.row("unknown", "countries")).to_have_count(0)
    expect(page.locator("#views")).to_have_text("3")
    expect(board.connection).to_have_text(re.compile(r"^Live · updated \d+ sec ago$"))


def test_who_is_silent_is_gone(make_live: MakeLive, page: Page) -> None:
    live = make_live(SESSION_TIMEOUT="2.5")
    board = Board.open(page, live)
    live.visitor().at("/pricing")
    expect(page.locator("#active-definition")).to_have_text("active in the last 2.5 seconds")
    expect(board.feed.first).to_contain_text("timed out on /pricing")
    board.expect_now(0, pricing=0)
    expect(page.locator("#views")).to_have_text("1")


def test_it_says_honestly_that_it_is_not_live(
    make_live: MakeLive, page: Page, watched: Watched
) -> None:
    live = make_live(**STAYS)
    watched.allowed += ["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED"]
    page.clock.install()
    ann, ben = live.visitor().at("/"), live.visitor().at("/")
    board = Board.open(page, live)
    board.expect_now(2, home=2)

    live.stop()
    expect(board.error).to_be_visible()
    expect(board.error).to_contain_text("Connection lost.")
    expect(board.error).to_contain_text(
        re.compile(r"These numbers are from \d\d?:\d\d:\d\d\. Trying again (in \d+ s|now)\.")
    )
    expect(board.now).to_have_text("2")
    expect(board.connection).to_have_text("Not live")
    expect(page).to_have_title("⚠ not live: 2 here · blog")
    page.clock.fast_forward(21_000)
    expect(page.locator("#live-region")).to_have_text(re.compile("^Connection lost"))

    page.get_by_role("button", name="Try now").click()
    expect(board.error).to_be_visible()  # it is still not there

    live.start()
    ben.beat().leave()
    ann.at("/back")
    page.clock.fast_forward(60_000)  # it is tried again by itself
    board.expect_now(1, home=0, back=1)
    expect(board.error).to_be_hidden()


def test_it_comes_back_by_itself(make_live: MakeLive, page: Page, watched: Watched) -> None:
    live = make_live(**STAYS)
    watched.allowed += ["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED"]
    ann = live.visitor().at("/")
    board = Board.open(page, live)
    board.expect_now(1)
    live.stop()
    expect(board.error).to_be_visible()
    live.start()
    ann.at("/again")
    board.expect_now(1, again=1)


def test_it_is_left_and_come_back_to(calm: LiveService, site: str, page: Page) -> None:
    ann = calm.visitor(site).at("/")
    board = Board.open(page, calm, site)
    board.expect_now(1, home=1)
    page.get_by_role("link", name="API").click()
    expect(page).to_have_url(f"{calm.url}/docs")
    ann.at("/meanwhile")
    page.go_back()
    board.expect_now(1, home=0, meanwhile=1)
    ann.leave()
    board.expect_now(0)


def test_a_silent_server_is_noticed(make_live: MakeLive, page: Page, watched: Watched) -> None:
    live = make_live(**STAYS)
    page.clock.install()
    live.visitor().at("/")
    board = Board.open(page, live)
    board.expect_now(1)
    with live.frozen():
        page.clock.fast_forward(39_000)
        expect(board.error).to_be_hidden()
        page.clock.fast_forward(2_000)
        expect(board.error).to_contain_text("Connection lost.")
    page.clock.fast_forward(10_000)
    expect(board.error).to_be_hidden()


@pytest.mark.parametrize(
    "query, listed", [("", 12), ("?wall", 14), ("?embed", 5)], ids=["page", "wall", "embed"]
)
def test_pages_sum_to_the_total(
    calm: LiveService, site: str, page: Page, query: str, listed: int
) -> None:
    calm.beat_all(site, [{"currentPath": f"/{n % 70}"} for n in range(200)])
    board = Board.open(page, calm, site, query=query)
    board.expect_now(200)
    rows = board.rows()
    assert [label for label, _ in rows][-1] == "other pages"
    assert len(rows) == listed + 1
    # A new page comes to the top, and one that was listed joins the rest.
    calm.beat_all(site, [{"currentPath": "/new"}] * 5)
    board.expect_now(205, new=5)
    assert board.rows()[0] == ("/new", 5)


def test_rows_move_as_counts_change(calm: LiveService, site: str, new_context: NewContext) -> None:
    for n in range(3):
        calm.beat_all(site, [{"currentPath": f"/{n}"}] * (5 - n))
    moving = Board.open(new_context(reduced_motion="no-preference").new_page(), calm, site)
    still = Board.open(new_context(reduced_motion="reduce").new_page(), calm, site)
    for board in (moving, still):
        board.expect_now(12)
        # An animation is over soon: what began is written down as it begins.
        board.call(
            """() => {
              const animate = Element.prototype.animate;
              window.began = [];
              Element.prototype.animate = function (frames, options) {
                window.began.push(Object.keys(frames[0])[0]);
                return animate.call(this, frames, options);
              };
            }"""
        )
    calm.beat_all(site, [{"currentPath": "/2"}] * 4)
    for board in (moving, still):
        board.expect_now(16)
        assert [label for label, _ in board.rows()] == ["/2", "/0", "/1"]
    assert moving.call("window.began").count("transform") >= 3
    assert still.call("window.began") == []


def test_a_page_can_be_chosen(calm: LiveService, site: str, page: Page) -> None:
    calm.visitor(site).at("/")
    ann, ben = calm.visitor(site).at("/a b"), calm.visitor(site).at("/a b")
    board = Board.open(page, calm, site)
    board.expect_now(3, home=1)

    board.row("/a b").get_by_role("button").click()
    expect(board.now).to_have_text("2")
    expect(page.locator("#active-label")).to_have_text("people on /a b now")
    expect(page.locator("#filter")).to_contain_text("of 3 people on the site.")
    expect(page).to_have_title(f"2 on /a b · {site}")
    expect(page).to_have_url(re.compile(r"\?page=%2Fa\+b$"))
    expect(board.row("/a b").get_by_role("button", pressed=True)).to_have_count(1)

    ann.at("/elsewhere")
    calm.visitor(site).at("/another")
    expect(board.now).to_have_text("1")
    expect(page.locator("#filter")).to_contain_text("of 4 people on the site.")
    expect(board.feed.first).to_contain_text("went from /a b to /elsewhere")
    expect(board.feed.filter(has_text="/another")).to_have_count(0)

    page.reload()
    expect(board.now).to_have_text("1")
    ben.leave()
    expect(board.now).to_have_text("0")
    expect(page.locator("#active-label")).to_have_text("people on /a b now")

    page.get_by_role("button", name="Show the whole site").click()
    board.expect_now(3, home=1, elsewhere=1, another=1)
    expect(page).to_have_url(f"{calm.url}/sites/{site}")


@pytest.mark.parametrize(
    "query, here",
    [
        ("?page=%2Ftea%2F", 2),  # as the service spells it: /tea
        ("?page=%2Ftea%3Fq%3D1", 2),
        ("?page=%2F%2574ea%2F%2F", 2),  # escaped once more, as who copies an address does
        ("?page=%2Fnobody", 0),  # nobody is there, and its number is shown all the same
        ("?page=foo", 3),  # no page at all
        ("?page=", 3),
        ("?page=%2F%2Fhost", 3),
    ],
)
def test_a_page_in_the_address(
    calm: LiveService, site: str, page: Page, query: str, here: int
) -> None:
    for path in ("/tea", "/tea", "/"):
        calm.visitor(site).at(path)
    board = Board.open(page, calm, site, query)
    expect(board.now).to_have_text(str(here))
    expect(board.connection).to_have_text(re.compile("^Live"))


@pytest.mark.fault("B32")
def test_pages_that_differ_by_an_escape_look_different(
    calm: LiveService, site: str, page: Page
) -> None:
    paths = ["/100%25", "/100%", "/a%2fb", "/a/b", "/%ff", "/caf%C3%A9"]
    for path in paths:
        calm.visitor(site).at(path)
    board = Board.open(page, calm, site, "?page=%2Fa%252fb")
    expect(board.now).to_have_text("1")
    expect(page.locator("#active-label")).to_have_text("person on /a%2Fb now")
    names = sorted(label for label, _ in board.rows())
    assert names == ["/%FF", "/100%", "/100%25", "/a%2Fb", "/a/b", "/café"]


def test_the_focus_is_not_lost_with_its_row(calm: LiveService, site: str, page: Page) -> None:
    ann = calm.visitor(site).at("/leaving")
    for path in ("/", "/", "/stays"):
        calm.visitor(site).at(path)
    board = Board.open(page, calm, site)
    board.expect_now(4, leaving=1)
    board.row("/leaving").get_by_role("button").focus()
    ann.at("/")
    expect(board.count("/leaving")).to_have_text("0")  # the row stays while it has the focus
    assert board.call("document.activeElement.innerText").startswith("/leaving")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Pause").focus()
    board.expect_now(4, leaving=0)


def test_the_feed_stands_still_when_asked_to(calm: LiveService, site: str, page: Page) -> None:
    calm.visitor(site).at("/first")
    board = Board.open(page, calm, site)
    board.expect_now(1)
    ann = calm.visitor(site, country="FR").at("/second")
    expect(board.feed.first).to_contain_text("came to /second")
    expect(board.feed.first.get_by_role("img", name="France")).to_be_visible()
    shown = board.feed.count()

    page.get_by_role("button", name="Pause").click()
    ann.at("/third")
    expect(page.locator("#pause")).to_have_text("Resume, 1 new")
    ann.at("/fourth")
    expect(page.locator("#pause")).to_have_text("Resume, 2 new")
    board.expect_now(2, fourth=1)
    expect(board.feed).to_have_count(shown)

    page.get_by_role("button", name="Resume").click()
    expect(board.feed).to_have_count(shown + 2)
    expect(board.feed.nth(0)).to_contain_text("went from /third to /fourth")
    expect(board.feed.nth(1)).to_contain_text("went from /second to /third")
    ann.leave()
    expect(board.feed.nth(0)).to_contain_text("left /fourth")


def test_an_hour_that_ends_at_midnight_is_said_as_any_other(
    calm: LiveService, site: str, new_context: NewContext, browser_valkey: Server
) -> None:
    Crowd(site).remember(browser_valkey.client, CALM_PREFIX, now=100)
    # Where it is between two and three at night, midnight is near the end of the chart.
    east = (2 - datetime.now(UTC).hour + 12) % 24 - 12
    page = new_context(timezone_id=f"Etc/GMT{-east:+d}").new_page()
    Board.open(page, calm, site)
    page.get_by_role("button", name="24 h").click()
    plot = page.locator("#plot")
    expect(plot).to_have_attribute("aria-label", re.compile("last 24 hours"))
    said = ""
    for percent in range(80, 100):
        box = plot.bounding_box() or {"width": 0}
        plot.hover(position={"x": box["width"] * percent / 100, "y": 60})
        said += page.locator("#readout").inner_text() + "\n"
    assert "23:00–00:00: at most" in said
    assert not re.search(r"\d\d/\d\d/\d{4}", said)


def test_the_chart_has_five_spans(
    calm: LiveService, site: str, page: Page, browser_valkey: Server
) -> None:
    crowd = Crowd(site)
    crowd.remember(browser_valkey.client, CALM_PREFIX, now=100)
    crowd.arrive(calm, 20)
    board = Board.open(page, calm, site)
    board.expect_now(20)
    plot = page.locator("#plot")
    minutes = re.compile(
        r"^People here over the last 30 minutes: at most (\d+), \d\d?:\d\d; (\d+) now\.$"
    )
    expect(plot).to_have_attribute("aria-label", minutes)
    expect(plot.locator("canvas")).to_be_visible()
    plot.hover()
    expect(page.locator("#readout")).to_have_text(
        re.compile(r"^\d\d?:\d\d: \d+ people, [\d.]+ views per minute$")
    )

    peak, yesterday = page.locator("#peak"), page.locator("#yesterday")
    expect(peak).to_have_text(re.compile(r"^\d{2,3}$"))
    expect(page.locator("#peak-at")).to_have_text(re.compile(r"^(at )?\d\d?:\d\d(–\d\d?:\d\d)?$"))
    expect(yesterday).to_have_text(re.compile(r"^\d{2,3}$"))
    expect(page.locator("#yesterday-at")).to_have_text(re.compile(r"^peak of \d\d?:\d0–\d\d?:\d0$"))

    before, hour = page.get_by_text("people a week before"), r"\w{3},? \d\d?:\d\d–\d\d?:\d\d"
    expect(before).to_be_hidden()
    for name, span, point, has_before in [
        ("24 h", "24 hours", hour, True),
        ("7 d", "7 days", hour, True),
        ("30 d", "30 days", r"\w+ \w+", True),
        ("12 months", "12 months", r"\w+( \w+)? ?– ?\w+( \w+)?", False),
    ]:
        page.get_by_role("button", name=name, exact=True).click()
        expect(plot).to_have_attribute("aria-label", re.compile(f"last {span}: at most"))
        pressed = page.locator("[data-span][aria-pressed=true]")
        expect(pressed).to_have_text(name)
        expect(before).to_be_visible(visible=has_before)
        plot.hover(position={"x": (plot.bounding_box() or {"width": 0})["width"] * 0.9, "y": 60})
        known = r" \(a week before \d+\)" if has_before else ""
        expect(page.locator("#readout")).to_have_text(
            re.compile(
                rf"^{point}: at most \d+ people{known}, [\d,.]+ views(, (≈\s)?[\d,.]+ unique)?$"
            )
        )

    # It goes on with what happens.
    page.get_by_role("button", name="30 min").click()
    most = numbers_in(plot.get_attribute("aria-label") or "")[1]
    crowd.arrive(calm, most)
    expect(plot).to_have_attribute("aria-label", re.compile(f"at most {most + 20},"))
    expect(page.locator("#peak")).to_have_text(re.compile(rf"^({most + 20}|\d{{3}})$"))


def remember_peak(server: Server, site: str, minutes_ago: int, people: int) -> float:
    """Writes the peak of one minute; when it began, in seconds since 1970."""
    minute = int(time.time()) // 60 - minutes_ago
    keys = Keys(CALM_PREFIX).of_site(site)[0]
    server.client.hset(keys.minutes_of(minute // 60), f"peak:{minute % 60:02d}", people)
    server.client.hset(keys.totals, "since", (minute - 60) * 60_000)
    return minute * 60.0


def test_the_peak_is_no_finer_than_it_is_known(
    calm: LiveService, site: str, new_context: NewContext, browser_valkey: Server
) -> None:
    zone = timezone(timedelta(hours=12 - datetime.now(UTC).hour))  # where it is about noon
    hours = zone.utcoffset(None).total_seconds() // 3600
    options = {"timezone_id": f"Etc/GMT{-hours:+.0f}"}
    calm.visitor(site).at("/")

    def said(locale: str) -> str:
        page = new_context(locale=locale, **options).new_page()
        Board.open(page, calm, site).expect_now(1)
        expect(page.locator("#peak-at")).not_to_have_text("")
        return page.locator("#peak-at").inner_text().replace("\u202f", " ")

    at = remember_peak(browser_valkey, site, minutes_ago=12, people=50)
    minute = datetime.fromtimestamp(at, zone)
    assert said("en-GB") == f"at {minute:%H:%M}"
    assert said("en-US") == f"at {minute:%I:%M %p}".replace("at 0", "at ")

    at = remember_peak(browser_valkey, site, minutes_ago=70, people=60)
    begin = datetime.fromtimestamp(at - at % 600, zone)
    end = begin + timedelta(minutes=10)
    assert re.sub(r"\s", "", said("en-GB")) == f"{begin:%H:%M}–{end:%H:%M}"


@pytest.mark.parametrize("query", ["", "?wall"], ids=["page", "wall"])
@pytest.mark.parametrize("people", [3, 48, 101, 1999])
def test_no_value_is_above_the_highest_line(
    calm: LiveService, site: str, page: Page, browser_valkey: Server, query: str, people: int
) -> None:
    remember_peak(browser_valkey, site, minutes_ago=5, people=people)
    calm.visitor(site).at("/")
    # What uPlot writes beside the lines is text on a canvas: it is noted as it is drawn.
    page.add_init_script(
        """const { fillText } = CanvasRenderingContext2D.prototype;
        window.texts = [];
        CanvasRenderingContext2D.prototype.fillText = function (text, ...where) {
          window.texts.push(text);
          return fillText.call(this, text, ...where);
        };"""
    )
    board = Board.open(page, calm, site, query=query)
    expect(page.locator("#plot canvas")).to_be_attached()
    labels = [text for text in board.call("window.texts") if ":" not in text]
    assert labels, "the chart has lines"
    assert people <= max(numbers_in(" ".join(labels))) < 3 * people


def test_a_flag_is_in_the_first_line_with_its_marker(
    calm: LiveService, site: str, page: Page
) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    ann = calm.visitor(site, country="DE").at("/before/an-article-with-a-long-title/and-more")
    ann.at("/blog/an-article-with-a-long-title/and-one-more-part")
    board = Board.open(page, calm, site)
    board.expect_now(1)
    tops = board.call(
        """() => {
          const item = document.querySelector("#feed li");
          const marker = getComputedStyle(item, "::before");
          const middle = (element) => {
            const range = document.createRange();
            range.selectNodeContents(element);
            const { top, height } = range.getClientRects()[0];
            return top + height / 2 - item.getBoundingClientRect().top;
          };
          const padding = parseFloat(getComputedStyle(item).paddingTop);
          return [
            padding + parseFloat(marker.marginTop) + 2 + parseFloat(marker.height) / 2,
            middle(item.querySelector("time")),
            middle(item.querySelector(".phrase")),
            middle(item.querySelector(".flag")),
          ];
        }"""
    )
    assert max(tops) - min(tops) < 4, tops
    assert (board.feed.first.bounding_box() or {"height": 0})["height"] > 40, "it has two lines"


@pytest.mark.parametrize(
    "now, usual, sentence",
    [
        (137, 100, "37 % above a usual {day} at {time}"),
        (50, 100, "50 % below a usual {day} at {time}"),
        (101, 100, "As many as on a usual {day} at {time}"),
        (100, 0, ""),
        (100, None, ""),
    ],
)
def test_how_much_is_usual(
    calm: LiveService,
    site: str,
    page: Page,
    browser_valkey: Server,
    now: int,
    usual: int | None,
    sentence: str,
) -> None:
    """The last whole hour beside the median of the same one of four weeks; the last of these was
    nothing like it."""
    keys, client = Keys(CALM_PREFIX).of_site(site)[0], browser_valkey.client
    calm.visitor(site).at("/")
    last = int(time.time()) // 3600 - 1
    hours = last, last + 1  # this one may be over before the page is there
    for weeks, peak in enumerate([now, usual, usual, usual, 9_999]):
        for earlier in (hour - weeks * 7 * 24 for hour in hours if peak is not None):
            client.hset(keys.hours_of(earlier), f"peak:{earlier % 24:02d}", peak or 0)
    if usual is not None:
        client.hset(keys.totals, "since", (last - 5 * 7 * 24) * 3_600_000)
    Board.open(page, calm, site).expect_now(1)
    expect(page.locator("#peak")).to_have_text("1")
    named = page.evaluate(
        "hours => hours.map((hour) => new Date(hour * 3_600_000)).map((date) => ["
        " date.toLocaleDateString(undefined, { weekday: 'long' }),"
        " date.toLocaleTimeString(undefined, { timeStyle: 'short' })])",
        hours,
    )
    either = "|".join(re.escape(sentence.format(day=day, time=at)) for day, at in named)
    expect(page.locator("#usual")).to_have_text(re.compile(f"^({either})$"))


def test_a_site_that_has_just_begun_has_a_point(calm: LiveService, site: str, page: Page) -> None:
    """One minute makes no line: whoever looks for the first time sees the people all the same."""
    calm.visitor(site).at("/")
    Board.open(page, calm, site).expect_now(1)
    page.wait_for_function(
        """() => {
          const canvas = document.querySelector("#plot canvas");
          if (!canvas) return false;
          const probe = document.createElement("canvas").getContext("2d");
          probe.fillStyle = getComputedStyle(document.querySelector(".swatch.people")).color;
          probe.fillRect(0, 0, 1, 1);
          const [red, green, blue] = probe.getImageData(0, 0, 1, 1).data;
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          for (let n = 0; n < data.length; n += 4)
            if (data[n] === red && data[n + 1] === green && data[n + 2] === blue) return true;
          return false;
        }"""
    )


def test_yesterday_is_not_made_up(calm: LiveService, site: str, page: Page) -> None:
    calm.visitor(site).at("/")
    Board.open(page, calm, site).expect_now(1)
    page.get_by_role("button", name="7 d", exact=True).click()
    page.locator("#plot").hover(position={"x": 60, "y": 60})
    expect(page.locator("#readout")).to_have_text(re.compile(": not counted yet$"))
    expect(page.locator("#usual")).to_be_empty()
    expect(page.locator("#peak")).to_have_text("1")
    expect(page.locator("#yesterday-at")).to_have_text("not counted yet")
    expect(page.locator("#yesterday")).to_have_text("–")


def test_where_they_are(calm: LiveService, site: str, page: Page) -> None:
    berlin = {"country": "DE", "city": "Berlin", "latitude": 52.5, "longitude": 13.4}
    sydney = {"country": "AU", "city": "Sydney", "latitude": -33.9, "longitude": 151.2}
    calm.beat_all(site, [{"currentPath": "/", **berlin}] * 3 + [{"currentPath": "/", **sydney}])
    calm.beat_all(site, [{"currentPath": "/"}])
    board = Board.open(page, calm, site)
    board.expect_now(5)
    assert board.rows("countries") == [("Germany", 3), ("Australia", 1), ("unknown", 1)]
    expect(board.row("Germany", "countries").locator(".flag")).to_have_text("DE")
    dots = page.locator("#map-dots circle")
    expect(dots).to_have_count(2)
    expect(page.locator("#map")).to_have_attribute("aria-label", "World map with 2 places")
    places = {
        title: (float(x), float(y))
        for title, x, y in board.call(
            """() => [...document.querySelectorAll("#map-dots circle")].map((dot) =>
              [dot.ariaLabel, dot.getAttribute("cx"), dot.getAttribute("cy")])"""
        )
    }
    # As d3's geoNaturalEarth1().scale(182.8).translate([500, 257]) has them.
    assert places["Berlin, Germany: 3 people"] == pytest.approx((532.1, 88.6), abs=0.2)
    assert places["Sydney, Australia: 1 person"] == pytest.approx((896.9, 366.3), abs=0.2)


def test_where_nothing_is_known_of_places(calm: LiveService, site: str, page: Page) -> None:
    ann = calm.visitor(site).at("/")
    board = Board.open(page, calm, site)
    board.expect_now(1)
    places = page.locator("section.places")
    expect(places).to_contain_text("Countries are unknown")
    expect(places).to_contain_text("PRESENCE_GEO_HEADERS")
    expect(page.locator("#map")).to_be_hidden()
    expect(page.locator("#countries")).to_be_hidden()
    assert (places.bounding_box() or {"height": 999})["height"] < 150
    feed, pages = page.locator("section.feed").bounding_box(), page.locator("section.pages")
    assert feed
    assert feed["y"] == (pages.bounding_box() or {"y": 0})["y"], (
        "what has something to show is in front"
    )

    ann.leave()
    board.expect_now(0)
    expect(page.locator("#pages-none")).to_have_text("Nobody is on any page right now.")
    expect(page.locator("#pages-sum")).to_have_text("")
    expect(places).to_contain_text("No visitors from any country right now.")
    expect(page.locator("#countries-unknown")).to_be_hidden()
    expect(page.locator("#map")).to_be_hidden()

    calm.visitor(site, country="DE").at("/a")
    board.expect_now(1, a=1)
    expect(page.locator("#pages-none")).to_be_hidden()
    expect(board.count("Germany", "countries")).to_have_text("1")
    # Nobody knows where in it, but the country is shaded.
    expect(page.locator("#map-land [data-people]")).to_have_attribute("data-country", "DE")


def test_a_site_where_nobody_has_been(calm: LiveService, site: str, page: Page) -> None:
    board = Board.open(page, calm, site)
    expect(page.locator("#welcome")).to_be_visible()
    expect(page.locator("#dashboard")).to_be_hidden()
    tag = f'<script defer src="{calm.url}/presence.js" data-site="{site}" data-allow-localhost>'
    expect(page.locator("#script-tag")).to_have_text(f"{tag}</script>")
    expect(page.locator("#welcome")).to_contain_text("You are on localhost, so")
    calm.visitor(site).at("/hello")
    board.expect_now(1, hello=1)
    expect(page.locator("#welcome")).to_be_hidden()


def test_who_waits_in_vain_is_told_what_may_be_wrong(
    calm: LiveService, site: str, page: Page
) -> None:
    page.clock.install()
    Board.open(page, calm, site)
    expect(page.locator("#welcome")).to_be_visible()
    page.clock.fast_forward(17_000)
    expect(page.locator("#troubleshooting")).to_be_hidden()
    page.clock.fast_forward(5_000)
    expect(page.locator("#troubleshooting")).to_contain_text("An ad blocker blocks presence.js")


def test_the_tag_can_be_copied(calm: LiveService, site: str, new_context: NewContext) -> None:
    context = new_context(permissions=["clipboard-read", "clipboard-write"])
    board = Board.open(context.new_page(), calm, site)
    board.page.locator("#copy").click()
    expect(board.page.locator("#copy")).to_have_text("Copied")
    assert board.call("navigator.clipboard.readText()").startswith("<script defer src=")


PRIVATE = """
["secret"]
public = false
token = "open-sesame"
"""


def test_a_private_site_asks_for_its_token(
    make_live: MakeLive, new_context: NewContext, sites_file: SitesFile, watched: Watched
) -> None:
    watched.allowed += ["status of 401", "status of 403"]
    live = make_live(SITES_FILE=sites_file(PRIVATE), **STAYS)
    live.beat_all("secret", [{"currentPath": "/"}] * 3, token="open-sesame")
    context = new_context()
    page = context.new_page()
    board = Board.open(page, live, site="secret")
    field = page.get_by_label("This site is private, or there is none of this name.")
    expect(field).to_be_focused()
    assert field.get_attribute("type") == "password"
    expect(page.locator("#dashboard")).to_be_hidden()
    expect(page).not_to_have_title(re.compile("here"))

    for wrong in ("guess", "wörong"):
        field.fill(wrong)
        field.press("Enter")
        expect(page.locator("#token-form-text")).to_have_text("That token is not valid.")
        expect(page.locator("#dashboard")).to_be_hidden()

    field.fill("open-sesame")
    page.get_by_role("button", name="Open").click()
    board.expect_now(3, home=3)
    expect(page.locator("#plot canvas")).to_be_visible()  # the history was let in as well
    assert page.url == f"{live.url}/sites/secret"
    assert board.call("[localStorage.length, document.cookie]") == [0, ""]

    page.reload()
    board.expect_now(3)
    other = Board.open(context.new_page(), live, site="secret")
    expect(other.page.locator("#token-form")).to_be_visible()


def test_an_unknown_site(
    make_live: MakeLive, page: Page, sites_file: SitesFile, watched: Watched
) -> None:
    """It cannot be told from a private one."""
    watched.allowed += ["status of 401"]
    live = make_live(SITES_FILE=sites_file(PRIVATE))
    Board.open(page, live, site="nowhere")
    expect(
        page.get_by_label("This site is private, or there is none of this name.")
    ).to_be_visible()
    expect(page.locator("#dashboard")).to_be_hidden()
    expect(page.locator("#welcome")).to_be_hidden()


def test_too_many_requests(make_live: MakeLive, page: Page, watched: Watched) -> None:
    watched.allowed += ["status of 429"]
    live = make_live(REQUESTS_PER_SECOND="1")
    live.visitor().at("/")
    while live.get("/v1/sites/blog/active").status_code != 429:
        pass
    board = Board.open(page, live)
    expect(board.error).to_contain_text("Too many requests.")
    expect(board.error).to_contain_text("Trying again")
    expect(board.now).to_have_text(re.compile(r"\d"))  # it waits as long as it was told, no less
    expect(board.error).to_be_hidden()


def test_redis_is_away(make_live: MakeLive, page: Page, watched: Watched) -> None:
    watched.allowed += ["status of 503", "ERR_INCOMPLETE_CHUNKED"]
    with Server("valkey") as server:
        live = make_live(server.url, **STAYS)
        live.visitor().at("/")
        server.freeze()
        board = Board.open(page, live)
        expect(board.error).to_contain_text("The service cannot reach its database.")
        server.thaw()
        board.expect_now(1, home=1)
        expect(board.error).to_be_hidden()


HOSTILE = [
    "/<script>document.title='pwned'</script>",
    "/<img src=x onerror=alert(1)>",
    "/%3Cscript%3Ealert(1)%3C/script%3E",
    '/"onmouseover="alert(1)',
    "/مرحبا/سعر",
    "/%ff%fe",
    "/&lt;b&gt;",
    "/" + "long" * 120,
]


def test_texts_are_only_texts(calm: LiveService, site: str, page: Page) -> None:
    city = "<svg onload=alert(1)>"
    details = {"country": "XX", "city": city, "latitude": 1, "longitude": 2}
    board = Board.open(page, calm, site)
    calm.beat_all(site, [{"currentPath": path, **details} for path in HOSTILE])
    board.expect_now(len(HOSTILE))
    expect(board.feed.first).to_be_visible()
    labels = [label for label, _ in board.rows()]
    assert HOSTILE[0] in labels
    assert HOSTILE[3] in labels
    assert "/%FF%FE" in labels, "what is no UTF-8 is shown as its code"
    assert "/&lt;b&gt;" in labels
    assert "/مرحبا/سعر" in labels
    assert not [label for label in labels if re.search("[\u200b\u202a-\u202e\u2066-\u2069]", label)]
    inside = board.call(
        """() => [...document.querySelectorAll("main *")].map((node) => node.localName)
          .filter((name) => ["script", "img", "iframe", "b"].includes(name))"""
    )
    assert inside == []
    page.locator("#pages .label").first.hover()
    board.row(HOSTILE[0]).get_by_role("button").click()
    expect(page).to_have_title(f"1 on {HOSTILE[0]} · {site}")
    assert board.call("document.documentElement.scrollWidth <= innerWidth")


def test_by_keyboard_alone(calm: LiveService, site: str, page: Page) -> None:
    calm.beat_all(site, [{"currentPath": "/"}] * 3 + [{"currentPath": "/a"}] * 2)
    board = Board.open(page, calm, site)
    board.expect_now(5)
    reached: list[str] = []
    for _ in range(15):
        page.keyboard.press("Tab")
        reached.append(board.call("document.activeElement.innerText.split('\\n')[0]"))
        outline = board.call("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", reached[-1]
        if reached[-1] == "/a":
            break
    spans = ["30 min", "24 h", "7 d", "30 d", "12 months"]
    home = ""  # a picture
    assert reached == [home, "Wallboard", "Share", "API", *spans, "i", "i", "/", "/a"]
    page.keyboard.press("Enter")
    expect(board.now).to_have_text("2")
    # The row stays where it is, and keeps the focus.
    calm.beat_all(site, [{"currentPath": "/a"}] * 2)
    expect(board.now).to_have_text("4")
    assert board.rows() == [("/", 3), ("/a", 4)]
    assert board.call("document.activeElement.innerText").startswith("/a")
    page.keyboard.press("Enter")
    expect(board.now).to_have_text("7")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Resume")).to_be_focused()
    expect(page.locator("#pages .label").first).to_have_text("/a")  # nobody holds it any more


def test_a_screen_reader_is_not_talked_over(calm: LiveService, site: str, page: Page) -> None:
    page.clock.install()
    calm.visitor(site).at("/")
    board = Board.open(page, calm, site)
    said = page.locator("[aria-live]:not([aria-live=off]), [role=status], [role=alert]")
    expect(said).to_have_count(1)
    expect(said).to_have_text("1 person here")
    for n in range(2, 7):
        calm.visitor(site).at("/")
        expect(board.now).to_have_text(str(n))
    page.clock.fast_forward(15_000)
    expect(said).to_have_text("1 person here")
    page.clock.fast_forward(6_000)
    expect(said).to_have_text("6 people here")
    page.clock.fast_forward(15_000)
    calm.visitor(site).at("/")
    expect(board.now).to_have_text("7")
    expect(said).to_have_text("6 people here")
    page.clock.fast_forward(6_000)
    expect(said).to_have_text("7 people here")


# what each view is made of
@pytest.mark.parametrize(
    "query, parts",
    [
        ("", {"active", "chart", "totals", "pages", "feed", "places", "top"}),
        ("?wall", {"active", "totals", "pages"}),  # and others take turns
        ("?embed", {"active", "pages"}),
    ],
    ids=["page", "wall", "embed"],
)
def test_the_views(calm: LiveService, site: str, page: Page, query: str, parts: set[str]) -> None:
    calm.visitor(site).at("/")
    board = Board.open(page, calm, site, query=query)
    board.expect_now(1)
    shown = board.call(
        """() => [...document.querySelectorAll("#dashboard > section")]
          .filter((section) => section.checkVisibility({visibilityProperty: true}))
          .map((section) => section.className)"""
    )
    assert set(shown) == parts


@pytest.mark.parametrize("query", ["", "?wall", "?embed"], ids=["page", "wall", "embed"])
def test_nothing_sticks_out(calm: LiveService, site: str, page: Page, query: str) -> None:
    Crowd(site).arrive(calm, 300)
    board = Board.open(page, calm, site, query=query)
    board.expect_now(300)
    for width in (320, 390, 800, 1280, 3840):
        page.set_viewport_size({"width": width, "height": width * 9 // 16})
        assert board.call("document.documentElement.scrollWidth") <= width
        if query == "?wall" and width > 1000:
            assert board.call("document.documentElement.scrollHeight <= innerHeight")
            assert (page.locator("#plot").bounding_box() or {"height": 0})["height"] > width / 16
