"""The pages as some people have them: without JavaScript, and in colours of their own."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NewContext
from tests.browser.site import LiveService


@pytest.mark.parametrize("query", ["", "?wall", "?embed"], ids=["page", "wall", "embed"])
def test_without_javascript_nothing_is_promised(
    calm: LiveService, site: str, new_context: NewContext, query: str
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto(f"{calm.url}/sites/{site}{query}")
    seen = page.locator("body").inner_text()  # Playwright's assertions skip <noscript>
    assert "Needs JavaScript" in seen
    assert "These numbers update live" in seen
    assert "Connecting" not in seen
    assert ("the API" in seen) == (query != "?embed")


def test_without_javascript_the_start_page_waits_for_nothing(
    calm: LiveService, new_context: NewContext
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto(f"{calm.url}/")
    expect(page.locator("#first-heartbeat")).to_have_attribute("data-state", "idle")
    expect(page.locator("#script-tag")).to_contain_text('data-site="demo"')
    expect(page.locator("#copy")).to_be_hidden()  # it would do nothing
    for text in ("Connecting", "Waiting"):
        expect(page.locator("body")).not_to_contain_text(text)
    page.locator("#first-heartbeat").get_by_role("link", name="stats page").click()
    expect(page).to_have_url(f"{calm.url}/sites/demo")
