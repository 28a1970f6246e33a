"""The reference in Chromium: it can be read on a phone, searched, copied from and tried."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewContext
from tests.browser.site import LiveService

# Where a row's parts are, of the first field table of the page.
ROW = """() => [...document.querySelector("#stats tr").children].map((cell) => {
  const { left, top, width } = cell.getBoundingClientRect();
  return { left: Math.round(left), top: Math.round(top), width: Math.round(width) };
})"""


def test_on_a_phone_it_is_one_column(calm: LiveService, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{calm.url}/docs")
    link = page.get_by_role("link", name="Leave", exact=True)
    expect(link).to_be_hidden()
    expect(page.get_by_role("heading", level=1)).to_be_in_viewport()
    page.get_by_text("Endpoints", exact=True).click()
    expect(link).to_have_count(1)
    link.click()
    expect(page.locator("#leave h3")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    name, text = page.evaluate(ROW)
    assert name["left"] == text["left"]
    assert name["top"] < text["top"]
    assert text["width"] > 250
    boxes = [page.locator(f"#leave .{part}").bounding_box() for part in ("about", "example")]
    tops = [box["y"] for box in boxes if box]
    assert tops == sorted(tops)


def test_on_a_desk_its_contents_are_beside_it(calm: LiveService, page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(f"{calm.url}/docs")
    expect(page.get_by_role("link", name="Leave", exact=True)).to_have_count(1)
    expect(page.get_by_text("Endpoints", exact=True)).to_be_hidden()
    name, text = page.evaluate(ROW)
    assert name["left"] < text["left"]
    assert name["top"] == text["top"]
    assert page.evaluate("document.documentElement.scrollHeight") <= 12_000
    # The example stays beside what it is about.
    page.evaluate("scrollTo(0, document.querySelector('#heartbeat').offsetTop + 250)")
    expect(page.locator("#heartbeat [role=tab]").first).to_be_in_viewport()


def test_one_language_for_all_examples(calm: LiveService, page: Page) -> None:
    page.goto(f"{calm.url}/docs")
    stats = page.locator("#stats")
    expect(stats.get_by_text("curl -i")).to_be_visible()
    stats.get_by_role("tab", name="Python").click()
    for operation in ("stats", "leave", "sessions"):
        shown = page.locator(f"#{operation} [role=tabpanel]:visible")
        expect(shown).to_have_count(1)
        expect(shown).to_contain_text("import httpx")
    # By keyboard: an arrow chooses the one beside it.
    stats.get_by_role("tab", name="Python").press("ArrowLeft")
    expect(stats.get_by_role("tab", name="JavaScript")).to_be_focused()
    expect(stats.locator("[role=tabpanel]:visible")).to_contain_text("await fetch(")


def test_an_example_is_copied_whole(calm: LiveService, page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{calm.url}/docs")
    panel = page.locator("#leave [role=tabpanel]:visible")
    panel.get_by_role("button", name="Copy").click()
    expect(panel.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == panel.locator("code").text_content()
    assert copied.startswith(f"curl -i '{calm.url}/v1/sites/blog/leave'")


def test_what_reads_can_be_sent(calm: LiveService, site: str, page: Page) -> None:
    calm.beat_all(site, [{"currentPath": "/blog/hello"}] * 3)
    page.goto(f"{calm.url}/docs")
    active = page.locator("#active")
    active.get_by_role("textbox", name="Site").fill(site)
    shown = active.locator("[role=tabpanel]:visible")
    expect(shown).to_contain_text(f"/v1/sites/{site}/active?path=/blog/hello")
    expect(page.locator("#leave [role=tabpanel]:visible")).to_contain_text(f"/sites/{site}/leave")
    active.get_by_role("button", name="Send").click()
    expect(active.locator(".result h4")).to_have_text("200 OK")
    expect(active.locator(".result")).to_contain_text('"activeVisitors": 3')
    # What writes, never ends or needs a token has no such button.
    with_button = page.locator(".send").evaluate_all(
        "all => all.map((one) => one.closest('.operation').id)"
    )
    assert {"stats", "active", "history", "livez"} <= set(with_button)
    assert not {"heartbeat", "live", "sessions", "users", "eraseUser"} & set(with_button)


@pytest.mark.parametrize(
    "words, found, gone",
    [("heartbeat many", "heartbeats", "livez"), ("EventSource", "live", "leave")],
)
def test_it_can_be_searched(
    calm: LiveService, page: Page, words: str, found: str, gone: str
) -> None:
    page.goto(f"{calm.url}/docs")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type(words)
    expect(page.locator(f"#{found}")).to_be_visible()
    expect(page.locator(f"#{gone}")).to_be_hidden()
    expect(page.locator(f"nav.sidebar a[href='#{found}']")).to_be_visible()
    expect(page.locator(f"nav.sidebar a[href='#{gone}']")).to_be_hidden()
    page.get_by_role("searchbox").fill("")
    expect(page.locator(f"#{gone}")).to_be_visible()


def test_where_one_is_is_lit(calm: LiveService, page: Page) -> None:
    page.goto(f"{calm.url}/docs")
    for operation in ("history", "leave"):
        page.locator(f"nav.sidebar a[href='#{operation}']").click()
        lit = page.locator("nav.sidebar a[aria-current]")
        expect(lit).to_have_attribute("href", f"#{operation}")


def test_a_schema_opens_where_it_is_linked_to(calm: LiveService, page: Page) -> None:
    page.goto(f"{calm.url}/docs")
    expect(page.locator("#schema-Stats")).to_be_hidden()
    page.locator("#stats").get_by_role("link", name="Stats").click()
    expect(page.locator("#schema-Stats")).to_be_visible()
    expect(page.locator("#schema-Stats")).to_contain_text("uniqueVisitorsToday")


def test_without_scripts_it_is_all_there(calm: LiveService, new_context: NewContext) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto(f"{calm.url}/docs")
    expect(page.locator("#leave")).to_contain_text("curl -i")
    expect(page.get_by_role("tab")).to_have_count(0)
    expect(page.get_by_role("button", name=re.compile("Send|Copy"))).to_have_count(0)
