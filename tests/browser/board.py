"""The stats page as a test reads it."""

import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.site import LiveService


class Board:
    """One stats page that is open."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.now = page.locator("#active")
        self.connection = page.locator("#connection-text")
        self.error = page.locator("#connection-error")
        self.feed = page.locator("#feed li")

    @classmethod
    def open(cls, page: Page, service: LiveService, site: str = "blog", query: str = "") -> "Board":
        """Goes there, and waits for its numbers, or why there are none."""
        page.goto(f"{service.url}/sites/{site}{query}")
        expect(page.locator("html")).not_to_have_attribute(
            "data-connection", re.compile("none|connecting")
        )
        return cls(page)

    def row(self, path: str, of: str = "pages") -> Locator:
        """A page's row, or that of whatever the list `of` is about."""
        exactly = re.compile(f"^{re.escape(path)}$")
        return self.page.locator(f"#{of} li").filter(
            has=self.page.locator(".label", has_text=exactly)
        )

    def count(self, path: str, of: str = "pages") -> Locator:
        """The number in that row."""
        return self.row(path, of).locator(".count")

    def rows(self, of: str = "pages") -> list[tuple[str, int]]:
        """All rows, as they are now."""
        rows: list[tuple[str, int]] = self.page.evaluate(
            """(id) => [...document.querySelectorAll(`#${id} .row`)].map((row) => [
              row.querySelector(".label").textContent,
              Number(row.querySelector(".count").textContent.replaceAll(",", "")),
            ])""",
            of,
        )
        return [(label, count) for label, count in rows]

    def expect_now(self, people: int, **pages: int) -> None:
        """That many are here, on these pages (named without their slash; `home` is /), and the
        page says so everywhere."""
        noun = "person" if people == 1 else "people"
        expect(self.now).to_have_text(str(people))
        for name, count in pages.items():
            path = "/" if name == "home" else f"/{name}"
            if count:
                expect(self.count(path)).to_have_text(str(count))
            else:
                expect(self.row(path)).to_have_count(0)
        expect(self.page.locator("#active-label")).to_have_text(f"{noun} here now")
        expect(self.page).to_have_title(re.compile(rf"^{people} here · "))
        assert sum(count for _, count in self.rows()) == people

    def expect_past(self) -> None:
        """All that is fetched once is there as well: what comes late moves what is below it. Of a
        site that is new."""
        expect(self.page.locator("#yesterday-at")).to_have_text("not counted yet")

    def call(self, script: str, *args: Any) -> Any:
        """What a function in the page returns."""
        return self.page.evaluate(script, *args)
