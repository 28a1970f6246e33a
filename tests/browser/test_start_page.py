"""Getting started in Chromium: it sees the first heartbeat as it comes in."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.board import Board
from tests.browser.conftest import MakeLive, NewContext, SitesFile, Watched
from tests.browser.site import LiveService
from tests.browser.web import answer_page, web_server


def test_it_sees_the_first_heartbeat(calm: LiveService, site: str, page: Page) -> None:
    page.goto(f"{calm.url}/")
    name, found = page.get_by_label("Name your site"), page.locator("#first-heartbeat")
    expect(name).to_have_value("demo")
    expect(found).to_contain_text("demo")
    expect(page.locator("#stats-link")).to_be_hidden()

    name.fill(site)
    tag = f'<script defer src="{calm.url}/presence.js" data-site="{site}" data-allow-localhost>'
    expect(page.locator("#script-tag")).to_have_text(f"{tag}</script>")
    expect(page.locator("main")).to_contain_text("You are on localhost, so")
    expect(page.locator("#curl-heartbeat")).to_contain_text(
        f"curl -i {calm.url}/v1/sites/{site}/heartbeat"
    )
    expect(found).to_contain_text(f"Waiting for the first heartbeat from {site}")
    calm.visitor("another").at("/")  # another site's tells nothing
    calm.visitor(site).at("/hello")
    expect(found).to_contain_text(
        re.compile("It works: (somebody just arrived on /hello|1 person)")
    )
    expect(found).to_have_attribute("data-state", "found")

    page.get_by_role("link", name="Open the stats page").click()
    expect(page).to_have_url(f"{calm.url}/sites/{site}")
    expect(page.locator("#active")).to_have_text("1")


def test_it_knows_a_site_that_is_counted_already(calm: LiveService, site: str, page: Page) -> None:
    ann = calm.visitor(site).at("/")
    page.goto(f"{calm.url}/")
    name, found = page.get_by_label("Name your site"), page.locator("#first-heartbeat")
    name.fill(site)
    expect(found).to_contain_text(f"It works: 1 person on {site} right now.")
    ann.leave()
    name.fill("another")
    name.fill(site)
    expect(found).to_contain_text(re.compile(f"{site}( has had visitors before|.* right now)"))


# what is typed -> what is suggested instead
@pytest.mark.parametrize(
    "typed, suggested",
    [
        ("Blog", "blog"),
        ("my blog!", "my-blog"),
        ("-x", "x"),
        ("https://Blog.Example.org/a?b", "blog.example.org"),
        ("Café", "cafe"),
        ("<script>", "script"),
        ("日本", ""),
    ],
)
def test_an_invalid_name(calm: LiveService, page: Page, typed: str, suggested: str) -> None:
    page.goto(f"{calm.url}/")
    name, error = page.get_by_label("Name your site"), page.locator("#site-error")
    expect(page.locator("#copy")).to_be_visible()
    expect(error).to_be_hidden()
    name.fill(typed)
    expect(error).to_contain_text("Use only lowercase letters, digits, dots and dashes")
    below = (name.bounding_box() or {"y": 0, "height": 0}), (error.bounding_box() or {"y": 0})
    assert 0 < below[1]["y"] - below[0]["y"] < 2 * below[0]["height"], "it is right below the field"
    expect(name).to_have_attribute("aria-invalid", "true")
    expect(name).to_have_accessible_description(re.compile("Use only lowercase letters"))
    expect(page.locator("#copy")).to_be_hidden()
    expect(page.locator("#script-tag")).to_contain_text('data-site="your-site"')
    expect(page.locator("#first-heartbeat")).to_contain_text("Correct the name above first")
    use = page.locator("#use-suggestion")
    if not suggested:
        expect(use).to_be_hidden()
        return
    expect(use).to_have_text(f"Use {suggested}")
    use.click()
    expect(name).to_have_value(suggested)
    expect(name).to_be_focused()
    expect(name).to_have_attribute("aria-invalid", "false")
    expect(error).to_be_hidden()
    expect(page.locator("#copy")).to_be_visible()
    expect(page.locator("#script-tag")).to_contain_text(f'data-site="{suggested}"')


def test_no_name(calm: LiveService, page: Page) -> None:
    page.goto(f"{calm.url}/")
    name = page.get_by_label("Name your site")
    name.fill("")
    expect(page.locator("#first-heartbeat")).to_contain_text("Name your site above first")
    expect(page.locator("#site-error")).to_be_hidden()
    expect(page.locator("#copy")).to_be_hidden()
    name.press("Enter")
    expect(page).to_have_url(f"{calm.url}/")


LISTED = """
[blog]
[secret]
public = false
token = "x"
"""


def test_where_sites_are_listed(
    make_live: MakeLive, page: Page, sites_file: SitesFile, watched: Watched
) -> None:
    watched.allowed += ["status of 404", "status of 401"]
    live = make_live(SITES_FILE=sites_file(LISTED))
    page.goto(f"{live.url}/")
    name, found = page.get_by_label("Name your site"), page.locator("#first-heartbeat")
    error, copy = page.locator("#site-error"), page.locator("#copy")
    expect(name).to_have_value("")
    expect(name).to_have_accessible_description(re.compile("enter the name of one of them"))
    expect(found).to_contain_text("Name your site above first")
    expect(copy).to_be_hidden()
    name.fill("other")
    expect(found).to_contain_text("other is private, or not one of the sites")
    expect(copy).to_be_hidden()
    name.fill("secret")
    expect(error).to_be_hidden()
    expect(found).to_contain_text("secret is private, or not one of the sites")
    expect(page.locator("#stats-link")).to_be_visible()
    name.fill("blog")
    expect(copy).to_be_visible()  # it is one that works
    expect(page.locator("#script-tag")).to_contain_text('data-site="blog"')
    expect(found).to_contain_text("Waiting for the first heartbeat from blog")


def test_who_waits_in_vain_is_told_what_may_be_wrong(
    calm: LiveService, site: str, page: Page
) -> None:
    page.clock.install()
    page.goto(f"{calm.url}/")
    name, found = page.get_by_label("Name your site"), page.locator("#first-heartbeat")
    hint = page.locator("#troubleshooting")
    name.fill(f"not.{site}")
    page.clock.fast_forward(19_000)
    name.fill(site)  # another site is waited for anew
    page.clock.fast_forward(19_000)
    expect(found).to_contain_text(f"Waiting for the first heartbeat from {site}")
    expect(hint).to_be_hidden()
    page.clock.fast_forward(2_000)
    expect(hint).to_be_visible()
    for cause in (
        "localhost",
        "ad blocker",
        f"data-site of the script tag is not {site}",
        "certain origins",
    ):
        expect(hint).to_contain_text(cause)
    calm.visitor(site).at("/")
    expect(found).to_contain_text("It works")
    expect(hint).to_be_hidden()


def test_on_a_phone_nothing_lies_on_the_line(calm: LiveService, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{calm.url}/")
    line, button = page.locator("#script-tag").bounding_box(), page.locator("#copy").bounding_box()
    assert line
    assert button
    assert button["y"] >= line["y"] + line["height"]
    cut = "[...document.querySelectorAll('pre')].filter((e) => e.scrollWidth > e.clientWidth)"
    assert page.evaluate(f"{cut}.length") == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_the_tag_can_be_copied(calm: LiveService, new_context: NewContext) -> None:
    page = new_context(permissions=["clipboard-read", "clipboard-write"]).new_page()
    page.goto(f"{calm.url}/")
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    text = page.locator("#script-tag").text_content()
    assert page.evaluate("navigator.clipboard.readText()") == text


def test_it_sees_the_tag_at_work(calm: LiveService, site: str, new_context: NewContext) -> None:
    start, visited = new_context().new_page(), new_context().new_page()
    start.goto(f"{calm.url}/")
    start.get_by_label("Name your site").fill(site)
    found = start.locator("#first-heartbeat")
    expect(found).to_contain_text(f"Waiting for the first heartbeat from {site}")
    tag = start.locator("#script-tag").text_content() or ""

    with web_server(lambda request: answer_page(request, tag)) as port:
        visited.goto(f"http://localhost:{port}/pasted")
        expect(found).to_contain_text(re.compile("It works: (somebody .* /pasted|1 person)"))
        start.get_by_role("link", name="Open the stats page").click()
        board = Board(start)
        board.expect_now(1, pasted=1)
        visited.evaluate("history.pushState(null, '', '/elsewhere')")
        board.expect_now(1, pasted=0, elsewhere=1)
        visited.close()
        board.expect_now(0)
