"""Getting started in Chromium: it sees the first heartbeat as it comes in."""

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import MakeLive, NewContext, SitesFile, Watched
from tests.browser.site import LiveService


def test_it_sees_the_first_heartbeat(live: LiveService, page: Page) -> None:
    page.goto(f"{live.url}/")
    name, found = page.get_by_label("Name your site"), page.locator("#found")
    expect(name).to_have_value("blog")
    expect(found).to_contain_text("Waiting for the first heartbeat of blog")
    expect(page.locator("#stats-link")).to_be_hidden()

    name.fill("example.org")
    tag = f'<script defer src="{live.url}/presence.js" data-site="example.org"></script>'
    expect(page.locator("#tag")).to_have_text(tag)
    expect(page.locator("#curl-beat")).to_contain_text(
        f"curl -i {live.url}/v1/sites/example.org/heartbeat"
    )
    expect(found).to_contain_text("Waiting for the first heartbeat of example.org")
    live.visitor("blog").at("/")  # another site's tells nothing
    live.visitor("example.org").at("/hello")
    expect(found).to_contain_text(
        re.compile("It works: (somebody has just come to /hello|1 person)")
    )
    expect(found).to_have_attribute("data-state", "seen")

    page.get_by_role("link", name="Open the stats page").click()
    expect(page).to_have_url(f"{live.url}/sites/example.org")
    expect(page.locator("#now")).to_have_text("1")


def test_it_knows_a_site_that_is_counted_already(live: LiveService, page: Page) -> None:
    live.visitor().at("/")
    page.goto(f"{live.url}/")
    expect(page.locator("#found")).to_contain_text("It works: 1 person on blog right now.")


def test_a_name_that_is_none(live: LiveService, page: Page) -> None:
    page.goto(f"{live.url}/")
    name = page.get_by_label("Name your site")
    for wrong in ("", "Blog", "my blog", "-x", "<script>"):
        name.fill(wrong)
        expect(page.locator("#found")).to_contain_text("A name is made of a-z")
        expect(name).to_have_attribute("aria-invalid", "true")
        expect(page.locator("#tag")).to_contain_text('data-site="blog"')
    name.press("Enter")
    expect(page).to_have_url(f"{live.url}/")


def test_sites_that_were_told(
    make_live: MakeLive, page: Page, sites_file: SitesFile, watched: Watched
) -> None:
    watched.allowed += ["status of 404", "status of 401"]
    live = make_live(SITES_FILE=sites_file('[secret]\npublic = false\ntoken = "x"\n'))
    page.goto(f"{live.url}/")
    found = page.locator("#found")
    expect(found).to_contain_text("This service was told its sites, and blog is none of them.")
    page.get_by_label("Name your site").fill("secret")
    expect(found).to_contain_text("secret is private")
    expect(page.locator("#stats-link")).to_be_visible()


def test_the_tag_can_be_copied(live: LiveService, new_context: NewContext) -> None:
    page = new_context(permissions=["clipboard-read", "clipboard-write"]).new_page()
    page.goto(f"{live.url}/")
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    text = page.locator("#tag").text_content()
    assert page.evaluate("navigator.clipboard.readText()") == text
