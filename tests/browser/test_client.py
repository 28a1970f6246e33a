"""The browser client in Chromium, on pages of another origin, against the real service: the
numbers are right at each step, and no more is sent than must be."""

import contextlib
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Playwright, Request

from tests.browser.conftest import (
    ARGUMENTS,
    PLAYWRIGHT_ARGUMENTS,
    MakeLive,
    NewContext,
    Watched,
    chromium,
)
from tests.browser.shop import Shop
from tests.browser.site import LiveService
from tests.browser.tabs import Tabs
from tests.servers import wait_until

MakeShop = Callable[..., Shop]

# A beat a minute: whatever is sent within a test was sent for a reason.
CALM = {
    "HEARTBEAT_INTERVAL": "60", "SESSION_TIMEOUT": "130", "HEARTBEAT_DEDUP": "1",
    "LEAVE_GRACE": "0.5",
}  # fmt: skip


@pytest.fixture
def calm(make_live: MakeLive) -> LiveService:
    """A service that wants a heartbeat a minute."""
    return make_live(**CALM)


@pytest.fixture
def make_shop() -> Iterator[MakeShop]:
    """Opens shops: `make_shop(service, 'data-hash', tags=2)`."""
    with contextlib.ExitStack() as stack:

        def make(service: LiveService, attributes: str = "", tags: int = 1, head: str = "") -> Shop:
            return stack.enter_context(Shop(service.url, attributes, tags, head).open())

        yield make


@pytest.fixture
def new_tabs() -> Iterator[Callable[[], Tabs]]:
    """Starts browsers with real tabs."""
    program = chromium()
    with contextlib.ExitStack() as stack:

        def make() -> Tabs:
            tabs = Tabs(program, ARGUMENTS)
            stack.callback(tabs.kill)
            return tabs

        yield make


def pages_of(service: LiveService) -> dict[str, int]:
    """Who is where; the sum is checked on the way."""
    stats = service.get("/v1/sites/shop/stats").json()
    pages = {row["path"]: row["count"] for row in stats["activeByPath"]}
    assert sum(pages.values()) == stats["activeVisitors"]
    return pages


def becomes(service: LiveService, **pages: int) -> None:
    """Waits until the numbers are these: `becomes(live, a=2)` is two on /a."""
    expected = {f"/{name}": count for name, count in pages.items()}
    wait_until(lambda: pages_of(service) == expected, what=f"{expected}")


def heartbeats(service: LiveService) -> int:
    """How many heartbeats the service has answered."""
    text = service.get("/metrics").text
    counts = (
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith("presence_heartbeats_total{")
    )
    return round(sum(counts))


def has_answered(service: LiveService, count: int, why: str = "") -> None:
    """That many heartbeats and no more; what is written is counted a moment later."""
    wait_until(lambda: heartbeats(service) >= count, what=f"{count} heartbeats: {why}")
    assert heartbeats(service) == count, why


class Sent:
    """What a browser sends to the service, by kind; `bodies` of heartbeats."""

    def __init__(self, context: BrowserContext) -> None:
        self.kinds: Counter[str] = Counter()
        self.bodies: list[str] = []
        context.on("request", self._note)

    def _note(self, request: Request) -> None:
        if "/v1/sites/" in request.url:
            kind = request.url.partition("/v1/sites/shop/")[2]
            self.kinds[f"{request.method} {kind}"] += 1
            if kind == "heartbeat":
                self.bodies.append(request.post_data or "")


# Tabs in front and behind


def test_two_browsers_and_three_tabs(
    calm: LiveService, make_shop: MakeShop, new_tabs: Callable[[], Tabs]
) -> None:
    shop = make_shop(calm)
    ours, theirs = new_tabs(), new_tabs()
    first = ours.open(f"{shop.url}/a")
    becomes(calm, a=1)
    second = ours.open(f"{shop.url}/b")  # the first is behind it now
    becomes(calm, b=1)
    third = theirs.open(f"{shop.url}/a")
    becomes(calm, a=1, b=1)
    ours.show(first)
    becomes(calm, a=2)
    ours.close(first)  # the second comes to the front
    becomes(calm, a=1, b=1)
    has_answered(calm, 5, "one for each step")
    ours.close(second)
    becomes(calm, a=1)
    theirs.close(third)
    becomes(calm)
    stats = calm.get("/v1/sites/shop/stats").json()
    assert stats["uniqueVisitors"] == 2, "the tabs of a browser are one visitor"
    has_answered(calm, 5)


def test_a_browser_that_dies_times_out(
    live: LiveService, make_shop: MakeShop, new_tabs: Callable[[], Tabs]
) -> None:
    tabs = new_tabs()
    tabs.open(f"{make_shop(live).url}/a")
    becomes(live, a=1)
    wait_until(lambda: heartbeats(live) >= 3, what="heartbeats on the interval the service says")
    becomes(live, a=1)
    tabs.kill()
    becomes(live)


def test_a_hidden_tab_stops(
    live: LiveService, make_shop: MakeShop, new_tabs: Callable[[], Tabs]
) -> None:
    shop, tabs = make_shop(live), new_tabs()
    tab = tabs.open(f"{shop.url}/a")
    becomes(live, a=1)
    tabs.open(f"{shop.url}/plain")
    becomes(live)  # it times out, for nobody looks at it
    sent = heartbeats(live)
    tabs.show(tab)
    becomes(live, a=1)
    wait_until(lambda: heartbeats(live) > sent, what="the heartbeat of the tab that is shown")


# One tab


def test_a_site_that_changes_its_page_itself(
    calm: LiveService, make_shop: MakeShop, page: Page
) -> None:
    sent = Sent(page.context)
    page.goto(f"{make_shop(calm).url}/a?token=secret#part")
    becomes(calm, a=1)
    # what the page does -> where it is then, and how many heartbeats there were
    for script, expected, count in [
        ("history.pushState({}, '', '/b?x=1')", "b", 2),
        ("history.replaceState({}, '', '/b?x=2')", "b", 2),
        ("history.replaceState({}, '', '/c')", "c", 3),
        ("history.pushState({}, '', '/c#part')", "c", 3),
        ("history.back()", "c", 3),
        ("history.back()", "a", 4),
        ("location.hash = 'other'", "a", 4),
    ]:
        page.evaluate(script)
        becomes(calm, **{expected: 1})
        has_answered(calm, count, script)
    assert "secret" not in "".join(sent.bodies)
    assert sent.kinds["OPTIONS heartbeat"] == 0, "no preflight"
    assert calm.get("/v1/sites/shop/stats").json()["uniqueVisitors"] == 1


# As Astro's router does: it keeps the browser's own function before the script tag is there.
KEPT = "<script>window.kept = history.pushState.bind(history)</script>"
INTERCEPTS = """<script>
  navigation.addEventListener("navigate", (event) => event.intercept({ handler: async () => {} }));
</script>"""
WITHOUT_NAVIGATION = "delete window.navigation"


@pytest.mark.parametrize(
    "head, script, change",
    [
        (KEPT, "", "kept(null, '', '/b')"),
        (INTERCEPTS, "", "navigation.navigate('/b')"),
        (INTERCEPTS, "", "location.href = '/b'"),
        ("", WITHOUT_NAVIGATION, "history.pushState(null, '', '/b')"),
    ],
    ids=["kept pushState", "navigate", "link", "no Navigation API"],
)
def test_path_changes_nobody_wrapped(
    calm: LiveService, make_shop: MakeShop, page: Page, head: str, script: str, change: str
) -> None:
    if script:
        page.add_init_script(script)
    page.goto(f"{make_shop(calm, head=head).url}/a")
    becomes(calm, a=1)
    page.evaluate("window.isSame = true")
    page.evaluate(change)
    becomes(calm, b=1)
    page.go_back()
    becomes(calm, a=1)
    assert page.evaluate("window.isSame"), "no page was loaded"
    has_answered(calm, 3)


def test_changes_faster_than_answers_are_not_lost(
    calm: LiveService, make_shop: MakeShop, page: Page
) -> None:
    page.goto(f"{make_shop(calm).url}/a")
    # Answered here, not only at the service: none is sent while another is in flight.
    page.wait_for_function(
        "performance.getEntriesByType('resource').some((e) => e.name.endsWith('/heartbeat'))"
    )
    becomes(calm, a=1)
    page.evaluate("for (let n = 0; n < 50; n++) history.pushState({}, '', `/${n}`)")
    becomes(calm, **{"49": 1})
    has_answered(calm, 3, "the first of them, then the last")


def test_hash_routing(calm: LiveService, make_shop: MakeShop, page: Page) -> None:
    page.goto(f"{make_shop(calm, 'data-hash').url}/app#/a")
    becomes(calm, a=1)
    page.evaluate("location.hash = '/b'")
    becomes(calm, b=1)


def test_a_reload_does_not_flicker(calm: LiveService, make_shop: MakeShop, page: Page) -> None:
    page.goto(f"{make_shop(calm).url}/a")
    becomes(calm, a=1)
    for _ in range(3):
        page.reload()
        assert pages_of(calm) == {"/a": 1}
    wait_until(lambda: page.evaluate("!!window.presence"), what="the client")
    stats = calm.get("/v1/sites/shop/stats").json()
    assert (stats["uniqueVisitors"], stats["totalPageViews"]) == (1, 1)


def test_a_closed_tab_says_goodbye(calm: LiveService, make_shop: MakeShop, page: Page) -> None:
    page.goto(f"{make_shop(calm).url}/a")
    becomes(calm, a=1)
    page.close(run_before_unload=True)
    becomes(calm)  # two minutes before it would time out


def test_back_from_the_back_forward_cache(
    playwright_of_tests: Playwright, calm: LiveService, make_shop: MakeShop
) -> None:
    profile = tempfile.mkdtemp(prefix="presence-profile-")
    shop = make_shop(calm)
    context = playwright_of_tests.chromium.launch_persistent_context(
        profile,
        executable_path=chromium(),
        args=PLAYWRIGHT_ARGUMENTS,
        ignore_default_args=["--disable-back-forward-cache"],
    )
    try:
        page = context.pages[0]
        page.add_init_script(
            "addEventListener('pageshow', (e) => { window.wasKept = e.persisted; })"
        )
        page.goto(f"{shop.url}/a")
        becomes(calm, a=1)
        page.goto(f"{shop.url}/plain")
        becomes(calm)
        page.go_back(wait_until="commit")  # nothing is loaded
        becomes(calm, a=1)
        assert page.evaluate("window.wasKept"), "it came from the cache"
    finally:
        context.close()
        shutil.rmtree(profile, ignore_errors=True)


def test_the_service_is_stopped_and_started(
    live: LiveService, make_shop: MakeShop, page: Page, watched: Watched
) -> None:
    # The last: of a heartbeat that came when its connection was being closed.
    watched.allowed += ["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED", "ERR_EMPTY_RESPONSE"]
    watched.allowed += ["ERR_CONNECTION_RESET"]
    sent = Sent(page.context)
    page.goto(f"{make_shop(live).url}/a")
    becomes(live, a=1)
    live.stop()
    before = sent.kinds["POST heartbeat"]
    wait_until(lambda: _sent_within(page, sent) >= before + 2, what="two tries in vain")
    page.evaluate("history.pushState({}, '', '/b')")
    assert page.evaluate("document.title") == "shop", "the page does not notice"
    live.start()
    becomes(live, b=1)


def _sent_within(page: Page, sent: Sent) -> int:
    page.wait_for_timeout(50)  # lets Playwright hear of requests
    return sent.kinds["POST heartbeat"]


# Two windows side by side


WITHOUT_LOCKS = "Object.defineProperty(Navigator.prototype, 'locks', {get: () => undefined})"


@pytest.mark.parametrize("script", ["", WITHOUT_LOCKS], ids=["Web Locks", "BroadcastChannel"])
def test_of_two_windows_one_leads(
    live: LiveService, make_shop: MakeShop, new_context: NewContext, script: str
) -> None:
    shop, context = make_shop(live), new_context()
    if script:
        context.add_init_script(script)
    first, second = context.new_page(), context.new_page()
    senders: list[Page] = []
    context.on("request", lambda request: _note(senders, request))
    for page in (first, second):
        page.goto(f"{shop.url}/{'a' if page is first else 'b'}")
        wait_until(lambda: sum(pages_of(live).values()) == 1, what="one visitor")
    senders.clear()  # until they have heard of each other both may send
    wait_until(lambda: _pumped(first) and _alike(senders[-4:]), what="one of them leads, not both")
    leader, other = (first, "b") if senders[-1] is first else (second, "a")
    leader.close(run_before_unload=True)
    becomes(live, **{other: 1})


def _pumped(page: Page) -> bool:
    page.wait_for_timeout(50)
    return True


def _note(senders: list[Page], request: Request) -> None:
    if request.url.endswith("/heartbeat"):
        senders.append(request.frame.page)


def _alike(last: list[Page]) -> bool:
    return len(last) == 4 and len(set(last)) == 1


# Who is not counted


GPC = "Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})"


@pytest.mark.parametrize(
    "attributes, script",
    [
        ("data-exclude='/a, /admin*'", ""),
        ("data-exclude='/a*'", ""),
        ("data-respect-dnt", GPC),
        ("", "localStorage.presenceId = ''"),  # as optOut() leaves it
    ],
)  # fmt: skip
def test_who_is_not_counted(
    calm: LiveService, make_shop: MakeShop, page: Page, attributes: str, script: str
) -> None:
    sent = Sent(page.context)
    if script:
        page.add_init_script(script)
    page.goto(f"{make_shop(calm, attributes).url}/a")
    page.wait_for_function("document.getElementById('all').textContent === '0'")
    assert sent.kinds["POST heartbeat"] == 0
    has_answered(calm, 0)


def test_consent_and_opting_out(calm: LiveService, make_shop: MakeShop, page: Page) -> None:
    shop = make_shop(calm, "data-auto=false")
    sent = Sent(page.context)
    page.goto(f"{shop.url}/a")
    page.wait_for_timeout(300)
    assert not sent.kinds, "not even for the numbers on the page"
    page.evaluate("window.presence.heartbeat()")
    becomes(calm, a=1)
    page.evaluate("window.presence.leave()")
    becomes(calm)
    page.evaluate("window.presence.heartbeat()")
    becomes(calm, a=1)
    page.evaluate("window.presence.optOut()")
    becomes(calm)
    page.reload()
    page.evaluate("window.presence.heartbeat()")
    page.wait_for_function("document.getElementById('all').textContent === '0'")
    assert pages_of(calm) == {}


def test_consent_before_the_script_is_there(
    calm: LiveService, make_shop: MakeShop, page: Page
) -> None:
    readme = (Path(__file__).parents[2] / "client" / "README.md").read_text()
    stand_in = re.search(r"<script>\nwindow\.presence .*?</script>", readme, re.DOTALL)
    assert stand_in
    banner = "<script>presence.heartbeat()</script>"
    page.goto(f"{make_shop(calm, 'data-auto=false', head=stand_in[0] + banner).url}/a")
    becomes(calm, a=1)
    page.evaluate("presence.leave()")
    becomes(calm)


@pytest.mark.parametrize("stored", ["undefined", "abc", "a-session.with-a-dot"])
def test_a_stored_id_that_is_refused_is_replaced(
    calm: LiveService, make_shop: MakeShop, page: Page, stored: str
) -> None:
    page.add_init_script(f"localStorage.presenceId ??= '{stored}'")
    page.goto(f"{make_shop(calm).url}/a")
    becomes(calm, a=1)
    page.reload()
    becomes(calm, a=1)
    assert page.evaluate("localStorage.presenceId") != stored
    assert calm.get("/v1/sites/shop/stats").json()["uniqueVisitors"] == 1


def test_loaded_twice_counts_once(calm: LiveService, make_shop: MakeShop, page: Page) -> None:
    sent = Sent(page.context)
    page.goto(f"{make_shop(calm, tags=2).url}/a")
    becomes(calm, a=1)
    page.wait_for_function("document.getElementById('all').textContent === '1'")
    assert sent.kinds["POST heartbeat"] == 1
    assert sent.kinds["GET live"] == 1


def test_numbers_on_a_page(calm: LiveService, make_shop: MakeShop, page: Page) -> None:
    page.goto(f"{make_shop(calm).url}/a")

    def shows(in_all: int, here: int) -> None:
        page.wait_for_function(
            "([all, here]) => document.getElementById('all').textContent === all"
            " && document.getElementById('here').textContent === here",
            arg=[str(in_all), str(here)],
        )

    shows(1, 1)
    visitor = calm.visitor("shop").at("/a")
    shows(2, 2)
    visitor.at("/b")
    shows(2, 1)
    visitor.leave()
    shows(1, 1)


def test_on_localhost_it_says_why_nobody_is_counted(
    calm: LiveService, make_shop: MakeShop, page: Page
) -> None:
    notes: list[str] = []
    page.on("console", lambda message: notes.append(f"{message.type}: {message.text}"))
    url = make_shop(calm).url
    page.goto(f"{url}/plain")
    tag = f'<script src="{calm.url}/presence.js" data-site="shop"></script>'
    page.set_content(tag)
    wait_until(lambda: _pumped(page) and notes, what="the note")
    page.evaluate("history.pushState(null, '', '/b'); presence.heartbeat()")
    page.wait_for_timeout(300)
    assert len(notes) == 1
    assert notes[0].startswith("info: ")
    assert "data-allow-localhost" in notes[0]
    has_answered(calm, 0)
