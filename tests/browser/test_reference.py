"""The reference in Chromium: it can be read on a phone."""

from playwright.sync_api import Page, expect

from tests.browser.site import LiveService

# Where a row's parts are, of the first field table of the page.
ROW = """() => [...document.querySelector("#heartbeat tr").children].map((cell) => {
  const { left, top, width } = cell.getBoundingClientRect();
  return { left: Math.round(left), top: Math.round(top), width: Math.round(width) };
})"""


def test_on_a_phone_it_is_one_column(calm: LiveService, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{calm.url}/docs")
    link = page.get_by_role("link", name="Leave", exact=True)
    expect(link).to_be_hidden()
    expect(page.get_by_role("heading", level=1)).to_be_in_viewport()
    page.locator("summary").click()
    expect(link).to_have_count(1)
    link.click()
    expect(page.locator("#leave h3")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    name, kind, text = page.evaluate(ROW)
    assert name["left"] == kind["left"] == text["left"]
    assert name["top"] < kind["top"] < text["top"]
    assert text["width"] > 250


def test_on_a_desk_its_contents_are_beside_it(calm: LiveService, page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(f"{calm.url}/docs")
    expect(page.get_by_role("link", name="Leave", exact=True)).to_have_count(1)
    expect(page.locator("summary")).to_be_hidden()
    name, kind, text = page.evaluate(ROW)
    assert name["left"] < kind["left"] < text["left"]
    assert name["top"] == kind["top"] == text["top"]
